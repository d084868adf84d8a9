package opendkim

import "strings"

// counterparts says why options have no counterpart.
var counterparts = []struct{ why, names string }{
	{"it is about verifying mail that comes in, which is left to others", `AllowSHA1Only AlwaysAddARHeader ATPS-Domains
		ATPS-HashAlgorithm AuthservID AuthservIDWithJobID BogusKey CaptureUnknownErrors ClockDrift
		DiagnosticDirectory DNSConnect DNSTimeout DomainKeysCompat KeepAuthResults MaximumSignaturesToVerify Minimum
		MinimumKeyBits MustBeSigned NoHeaderB
		On-BadSignature On-DNSError On-KeyNotFound On-NoSignature On-Security Quarantine QueryCache RedirectFailuresTo
		RemoveARAll RemoveARFrom ReportAddress ReportBccAddress ResolverConfiguration ResolverTracing SendReports SMTPURI
		TrustAnchorFile TrustSignaturesFrom UnprotectedKey VBR-Certifiers VBR-PurgeFields VBR-TrustedCertifiers
		VBR-TrustedCertifiersOnly VBR-Type AuthservIDWithJobId DNSOverride SyslogFailures`},
	{"the log goes to standard error, and so to the journal, one line for each message with the reason of what was done",
		`LogResults LogWhy Syslog SyslogFacility SyslogName SyslogSuccess MilterDebug debugLevel`},
	{"the service manager does that, or nobody needs to", `AutoRestart AutoRestartCount AutoRestartRate Background
		EnableCoredumps PidFile DisableCryptoInit TemporaryDirectory KeepTemporaryFiles`},
	{"there are no databases behind the configuration", `LDAPAuthMechanism LDAPAuthName LDAPAuthRealm LDAPAuthUser
		LDAPBindPassword LDAPBindUser LDAPDisableCache LDAPKeepaliveIdle LDAPKeepaliveInterval LDAPKeepaliveProbes LDAPTimeout
		LDAPUseTLS LDAPSoftStart SoftStart POPDBFile`},
	{"there are no scripts; if it chooses keys or refuses mail, that is lost", `FinalPolicyScript ScreenPolicyScript
		SetupPolicyScript StatisticsPolicyScript`},
	{"there are no such statistics; the log and the counters have what is counted", `Statistics StatisticsName
		StatisticsPrefix
		AnonymousStatistics StatisticsAnonymous`},
	{"it is for tests", `StrictTestMode TestDNSData TestPublicKeys`},
	{"nothing is logged of such mail in the first place", `ExternalIgnoreList`},
	{"all mail of ours is signed, whoever gets it", `DontSignMailTo`},
	{"mail that others signed is not signed again for that reason; ours is, also to lists", `ResignMailTo ResignAll`},
	{"l= would leave the end of the message to whoever adds to it", `BodyLengthDB MaximumSignedBytes`},
	{"z= would tell the header to everybody", `Diagnostics`},
	{"r= is not written", `RequestReports`},
	{"signatures of others stay: receivers pass over those that they cannot verify", `RemoveOldSignatures`},
	{"the signature is of the message as it travels", `FixCRLF ReplaceHeaders ReplaceRules`},
	{"the field tells strangers the version of the program", `SoftwareHeader`},
	{"one canonicalization is for all mail", `SelectCanonicalizationHeader`},
	{"the sender is the address in From, which is whom receivers judge", `SenderMacro IdentityHeader
		IdentityHeaderRemove`},
	{"a header may have 1 MiB or 2,000 fields", `MaximumHeaders`},
	{"mail that cannot be signed as it should be is named in the log; several From fields are refused", `
		IgnoreMalformedMail RequiredHeaders StrictHeaders WeakSyntaxChecks`},
	{"mail is sent by no means but the mta", `MTACommand`},
}

// handled are the options that other parts speak of.
const handled = `BaseDirectory Canonicalization Domain ExemptDomains InternalHosts KeyFile KeyFileEd25519 KeyTable
	KeyTableEd25519 MacroList Mode MTA MultipleSignatures Nameservers OmitHeaders On-Default On-InternalError
	On-SignatureError OversignHeaders PeerList RequireSafeKeys Selector SelectorEd25519 SenderHeaders SignatureAlgorithm
	SignatureTTL SignHeaders SigningTable Socket SubDomains UMask UserID ChangeRootDirectory`

// knownOptions gives, by lower-case name, why an option has no counterpart; "" where others speak of it.
func knownOptions() map[string]string {
	known := map[string]string{}
	for _, c := range counterparts {
		for name := range strings.FieldsSeq(c.names) {
			known[strings.ToLower(name)] = c.why
		}
	}
	for name := range strings.FieldsSeq(handled) {
		known[strings.ToLower(name)] = ""
	}
	return known
}

// rest tells of the options that nothing was said of so far.
func (im *importer) rest() {
	known := knownOptions()
	for _, s := range im.conf.effective() {
		why, ok := known[strings.ToLower(s.name)]
		switch {
		case !ok:
			s.name = named(s.name)
			im.note(s, Broken, "unknown; opendkim 2.11 would not start")
		case why != "":
			im.note(s, Dropped, "%s", why)
		}
	}
	im.choosing()
}

// choosing tells of the options that rule the choice of keys.
func (im *importer) choosing() {
	tables := im.choice.table != nil
	single := map[bool]string{true: "not used, since there is a KeyTable", false: "the [[domain]] entries"}[tables]
	fate := map[bool]Fate{true: Dropped, false: Carried}[tables]
	for _, name := range []string{"Domain", "Selector", "SelectorEd25519", "KeyFile", "KeyFileEd25519", "SubDomains"} {
		im.say(name, fate, single)
	}
	for _, p := range im.places {
		if p.Err != nil && !tables {
			im.note(setting{at: p.at, name: p.name}, Broken, "%s: %v", p.From, p.Err)
		}
	}
	im.say("MultipleSignatures", Carried, "all keys of an entry sign; those of one domain, for a message has one d= here")
	im.say("BaseDirectory", Carried, "paths are read from there")
	im.say("ChangeRootDirectory", Different, "keys are read from there; the daemon has the protection of its unit instead")
	im.say("RequireSafeKeys", Different, "keys must always be safe: mode 0600, of the daemon's user or root")
	im.say("SignatureAlgorithm", Different, "each key has its algorithm: rsa-sha256 or ed25519-sha256; SHA-1 is never "+
		"used (RFC 8301)")
	if im.choice.verifies {
		im.say("Mode", Different, "opendkim signs nothing; the keys would sign here, so no [[domain]] is written")
	} else {
		im.say("Mode", Carried, "mail of ours is signed; mail of others is not verified, whatever the mode")
	}
	im.say("ExemptDomains", Different, "such mail is signed where a [[domain]] or a key says so; it is named here as "+
		"\"mail from\"")
	if s, ok := im.conf.get("SenderHeaders"); ok {
		if strings.EqualFold(s.value, "From") {
			im.note(s, Carried, "keys are chosen by the address in From")
		} else {
			im.note(s, Different, "keys are chosen by the address in From only, which is whom receivers judge")
		}
	}
}

// say tells of an option, if it is set.
func (im *importer) say(name string, f Fate, text string) {
	if s, ok := im.conf.get(name); ok {
		im.note(s, f, "%s", text)
	}
}
