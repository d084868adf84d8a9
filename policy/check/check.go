// Package check turns facts into findings, one file per item of the checklist. Beside each check stands its rule: what
// its results lead to, and what the SMTP client is told.
//
// # What it never does
//
// The checks of a message work from memory. One waits for the DNS, within a deadline: SPF, asked for at MAIL and needed
// at the first recipient that leaves. No check decides; that is [policy.Decide].
//
// # Standards
//
// RFC 5322 (header), RFC 6376 (who signs), RFC 7208 (SPF), RFC 5782 (block lists), RFC 7372 (codes of refusals). Of a
// host: RFC 9989 and RFC 9990 (DMARC), RFC 7505 (null MX), RFC 8461 (MTA-STS), RFC 8460 (TLS-RPT), RFC 7672 (DANE).
//
// # Security
//
// Subjects and reasons may hold domains that strangers wrote, in canonical form, and addresses with all that a quoted
// local part may have in it: whoever shows them escapes them. No reply has an address, and no check quotes other text of
// a header.
package check

import "reputed/policy"

// Results of the checks of a message, as they appear in logs and in the configuration of rules.
const (
	None    = "none"    // there is no such thing
	Several = "several" // there are more than allowed
	Invalid = "invalid" // it is there, and cannot be read
	Missing = "missing" // it should be there, and is not
	Foreign = "foreign" // it is another's
	Large   = "too-large"
)

func finding(rule, result string, grade policy.Grade, reason string) policy.Finding {
	return policy.Finding{Rule: rule, Result: result, Grade: grade, Reason: reason}
}
