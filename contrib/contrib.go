// Package contrib holds what is shipped beside the program. Of it the program itself carries the sample configuration.
package contrib

import _ "embed"

// Sample is reputed.toml: every key of the configuration, commented out at its default, with what it does.
//
//go:embed reputed.toml
var Sample []byte
