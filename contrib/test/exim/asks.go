package exim

// What a site has that does no more than ask reputed: a part of the main section, and the ACLs that it names.
const (
	AsksMain = "acl_smtp_mail = check_mail\nacl_smtp_rcpt = check_rcpt\nacl_smtp_data = check_data\n"
	AsksACL  = `
check_mail:
  require acl = acl_reputed_mail
  accept
check_rcpt:
  require acl = acl_reputed_rcpt
  accept
check_data:
  require acl = acl_reputed_data
  accept
`
)
