package check

// Headings of the checklist, in its order.
const (
	GroupAddress    = "address and name"
	GroupDomain     = "domain"
	GroupSPF        = "spf"
	GroupDKIM       = "dkim"
	GroupDMARC      = "dmarc"
	GroupReputation = "reputation"
	GroupMTA        = "mail server"
	GroupExtras     = "good to know"
)

// Items gives the checklist, in its order. Each call gives a new one.
func Items() []Item {
	return []Item{
		itemStatic(),
		itemMoved(),
		itemPTR(),
		itemNAT(),
		itemHelo(),
		itemHeloPTR(),
		itemHosts(),
		itemBanner(),
		itemPort25(),
		itemMX(),
		itemRole(),
		itemSPF(),
		itemSPFSingle(),
		itemSPFCost(),
		itemSPFAll(),
		itemSPFPtr(),
		itemDKIM(),
		itemDKIMStrength(),
		itemDKIMFlags(),
		itemDKIMWildcard(),
		itemDKIMFile(),
		itemDMARC(),
		itemAlign(),
		itemListed(),
		itemDomainListed(),
		itemResolver(),
		itemPostfix(),
		itemExim(),
		itemAllowed(),
		itemRegister(),
		itemMTASTS(nil),
		itemTLSRPT(),
		itemDANE(),
		itemDNSSEC(),
	}
}
