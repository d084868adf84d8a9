// Package mta holds the tests of reputed with real mail servers. They are built with the tag "integration", and run by
// contrib/test/run.
package mta
