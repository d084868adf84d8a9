package signer

// Revocation is the text of a record that says that the key is not to be used any more: RFC 6376, section 3.6.1.
const Revocation = "v=DKIM1; p="
