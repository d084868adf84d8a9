# Reads {"records": {name: text}, "messages": [base64]} and prints, for each message, a list with an object for each
# signature: domain, selector, pass, reason.
import base64
import json
import sys

import dkim

job = json.load(sys.stdin)


def txt(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    text = job["records"].get(name.rstrip(".").lower())
    return text.encode() if text is not None else None


def check(message):
    results = []
    try:
        d = dkim.DKIM(message)
    except dkim.MessageFormatError as e:
        return [{"domain": "", "selector": "", "pass": False, "reason": repr(e)}]
    count = sum(1 for name, _ in d.headers if name.lower() == b"dkim-signature")
    for i in range(count):
        d = dkim.DKIM(message)
        reason = ""
        try:
            ok = d.verify(idx=i, dnsfunc=txt)
        except Exception as e:
            ok, reason = False, repr(e)
        fields = d.signature_fields or {}
        results.append({
            "domain": fields.get(b"d", b"").decode(),
            "selector": fields.get(b"s", b"").decode(),
            "pass": bool(ok),
            "reason": reason,
        })
    return results


json.dump([check(base64.b64decode(m)) for m in job["messages"]], sys.stdout)
