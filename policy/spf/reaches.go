package spf

import (
	"context"
	"net/netip"

	"reputed/policy/mail"
)

// Reaches tells what the record of the request's domain says of mail that leaves through a smarthost, which is known by
// the name that its customers include: Pass when an include with the qualifier of a pass, or a redirect, leads to that
// name, itself or through others; what the qualifier says where it is another one; and else what the record says of
// addresses that none of its terms lists. The way there is in Chain, the name itself its last step.
//
// The limits are those of [Checker.Check], but for void answers: terms that compare addresses are counted and not asked
// for. What the smarthost's own record costs is not counted; [Checker.Survey] counts it. The address of the request is
// for macros only, and may be missing.
func (c *Checker) Reaches(ctx context.Context, q Request, via mail.Domain) Outcome {
	e := c.begin(ctx, q)
	e.via = via.String()
	e.out.IP = netip.Addr{}
	return e.run()
}
