// Package opendkim holds the tests of `reputed config import-opendkim` against the real opendkim: both sign the same
// messages, each from its own configuration. They are built with the tag "integration", and run by contrib/test/run.
//
// Each opendkim is private: in a directory and on a unix socket of its own, beside any other that the machine may have.
// It asks no name server, for it only signs.
package opendkim
