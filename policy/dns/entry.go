package dns

import "time"

// entry is what is remembered of a question. It is replaced, never changed.
type entry struct {
	answer  Answer    // the last that did not fail; Failed: there is none
	expires time.Time // of answer
	ahead   time.Time // from when on it is renewed while it still holds

	failures int       // since then, in a row
	err      error     // of the last one
	retry    time.Time // when the servers may be asked again
}

// renew gives the entry after the servers were asked.
func (e *entry) renew(a Answer, now time.Time) *entry {
	if a.Status == Failed {
		failed := entry{}
		if e != nil {
			failed = *e
		}
		failed.retry = now.Add(backoff[min(failed.failures, len(backoff)-1)])
		failed.failures++
		failed.err = a.Err
		return &failed
	}
	ttl := min(max(a.TTL, minTTL), maxTTL)
	if a.Status.Void() {
		ttl = min(ttl, maxNegTTL)
	}
	return &entry{answer: a, expires: now.Add(ttl), ahead: now.Add(ttl - ttl/10)}
}

// at gives the answer at a time: what holds, or else what has expired, or else the failure.
func (e *entry) at(now time.Time) Answer {
	a := e.answer
	switch {
	case a.Status != Failed && now.Before(e.expires):
		a.TTL = e.expires.Sub(now)
	case a.Status != Failed && now.Before(e.expires.Add(maxStale)):
		a.TTL, a.Stale, a.Secure = staleTTL, true, false // its signatures may have expired, too
	default:
		a = Answer{Err: e.err, TTL: max(0, e.retry.Sub(now))}
	}
	return a
}

// weigh counts an entry as one for each KB, so that large answers do not take the memory of thousands.
func weigh(k key, e *entry) uint32 {
	size := len(k.name)
	for i := range e.answer.Records {
		r := &e.answer.Records[i]
		size += 64 + len(r.Name) + len(r.Text)
		if r.DS != nil {
			size += len(r.DS.Digest)
		}
		if r.TLSA != nil { // RFC 6698, section 2.1.3: it may be a whole certificate
			size += len(r.TLSA.Data)
		}
	}
	return uint32(1 + size/1024)
}

// lower gives a name in lower case. Octets beyond ASCII have none: RFC 4343, section 3.
func lower(name string) string {
	for i := range len(name) {
		if 'A' <= name[i] && name[i] <= 'Z' {
			octets := []byte(name)
			for ; i < len(octets); i++ {
				if 'A' <= octets[i] && octets[i] <= 'Z' {
					octets[i] += 'a' - 'A'
				}
			}
			return string(octets)
		}
	}
	return name
}
