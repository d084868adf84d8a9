// Package wire is the packet codec of the milter protocol: frames, negotiation, macros, and the names of sockets. Both
// ends use it, the filter's (package milter) and the MTA's (package milter/bridge).
//
// # Standards
//
// The protocol has no RFC. It is what Sendmail's libmilter speaks in version 6, as Postfix implements it
// (MILTER_README, src/milter/milter8.c).
//
// # Security
//
// Whoever reaches the socket sends what he likes. No length is believed before the data has come: buffers grow with
// the data and never beyond [Reader.Max]. Every parser here is fuzzed.
package wire

// Commands: what the MTA sends.
const (
	CmdAbort     byte = 'A' // forget this message, keep the connection
	CmdBody      byte = 'B' // a piece of the body
	CmdConnect   byte = 'C'
	CmdMacro     byte = 'D' // macros for the command that follows
	CmdEnd       byte = 'E' // end of message; may hold a last piece of the body
	CmdHelo      byte = 'H'
	CmdQuitNew   byte = 'K' // end of this SMTP session; another follows on the same socket
	CmdHeader    byte = 'L'
	CmdMail      byte = 'M'
	CmdEndHeader byte = 'N'
	CmdNegotiate byte = 'O'
	CmdQuit      byte = 'Q'
	CmdRcpt      byte = 'R'
	CmdData      byte = 'T'
	CmdUnknown   byte = 'U' // an SMTP command that the MTA does not know
)

// Replies: what the filter sends.
const (
	ReplyAccept       byte = 'a'
	ReplyContinue     byte = 'c'
	ReplyDiscard      byte = 'd'
	ReplyReject       byte = 'r'
	ReplySkip         byte = 's' // no more of this kind, please
	ReplyTempfail     byte = 't'
	ReplyCode         byte = 'y' // an SMTP reply of our own
	ReplyProgress     byte = 'p'
	ReplyShutdown     byte = '4'
	ReplyConnFail     byte = 'f'
	ReplyAddHeader    byte = 'h'
	ReplyInsertHeader byte = 'i'
	ReplyChangeHeader byte = 'm'
	ReplyReplaceBody  byte = 'b'
	ReplyQuarantine   byte = 'q'
	ReplyChangeFrom   byte = 'e'
	ReplyAddRcpt      byte = '+'
	ReplyAddRcptArgs  byte = '2'
	ReplyDeleteRcpt   byte = '-'
)

// Actions: what the filter may do to a message.
const (
	ActAddHeader    uint32 = 1 << 0 // add and insert
	ActChangeBody   uint32 = 1 << 1
	ActAddRcpt      uint32 = 1 << 2
	ActDeleteRcpt   uint32 = 1 << 3
	ActChangeHeader uint32 = 1 << 4
	ActQuarantine   uint32 = 1 << 5
	ActChangeFrom   uint32 = 1 << 6
	ActAddRcptArgs  uint32 = 1 << 7
	ActSetMacros    uint32 = 1 << 8 // the filter may choose its macros in the negotiation
)

// Protocol: what the MTA need not send, and what the filter will not answer.
const (
	NoConnect      uint32 = 1 << 0
	NoHelo         uint32 = 1 << 1
	NoMail         uint32 = 1 << 2
	NoRcpt         uint32 = 1 << 3
	NoBody         uint32 = 1 << 4
	NoHeader       uint32 = 1 << 5
	NoEndHeader    uint32 = 1 << 6
	NoReplyHeader  uint32 = 1 << 7
	NoUnknown      uint32 = 1 << 8
	NoData         uint32 = 1 << 9
	Skip           uint32 = 1 << 10 // the MTA understands ReplySkip
	RejectedRcpt   uint32 = 1 << 11 // the filter wants to see refused recipients
	NoReplyConnect uint32 = 1 << 12
	NoReplyHelo    uint32 = 1 << 13
	NoReplyMail    uint32 = 1 << 14
	NoReplyRcpt    uint32 = 1 << 15
	NoReplyData    uint32 = 1 << 16
	NoReplyUnknown uint32 = 1 << 17
	NoReplyEOH     uint32 = 1 << 18
	NoReplyBody    uint32 = 1 << 19
	LeadingSpace   uint32 = 1 << 20 // header values travel with their leading space
)

// Version is the protocol's version spoken here.
const Version = 6

// Families of [CmdConnect].
const (
	FamilyUnknown byte = 'U'
	FamilyUnix    byte = 'L'
	FamilyInet    byte = '4'
	FamilyInet6   byte = '6'
)
