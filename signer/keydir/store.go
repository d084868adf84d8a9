package keydir

import (
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"reputed/signer"
)

// Store writes a new key, readable by its owner only, and gives the path. It makes the directories that are missing.
// When the directory of keys belongs to another user, as when root makes a key for the daemon, so will the key. A key
// that is there already is not replaced.
func Store(dir string, id signer.ID, private crypto.Signer) (string, error) {
	if _, err := signer.ParseSelector(id.Selector.String()); err != nil {
		return "", err
	}
	text, err := marshal(private)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	owner, err := os.Stat(dir)
	if err != nil {
		return "", err
	}
	sub := filepath.Join(dir, id.Domain.String())
	if err := os.Mkdir(sub, 0o700); err == nil {
		err = give(sub, owner)
	} else if !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	path := filepath.Join(sub, id.Selector.String()+".pem")
	if err := writeNew(path, text, owner); err != nil {
		return "", err
	}
	return path, nil
}

// writeNew writes a file that must not exist yet, whole or not at all.
func writeNew(path string, text []byte, owner fs.FileInfo) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Chmod(0o600), tmp.Sync(), tmp.Close(), give(tmp.Name(), owner))
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s: there is a key of that name already; selectors are never used again "+
			"(RFC 6376, section 3.1)", path)
	} else if err != nil {
		return err
	}
	return nil
}

// give hands a file to the owner of another one. Only root can, and only root needs to.
func give(path string, like fs.FileInfo) error {
	st, ok := like.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) == os.Geteuid() {
		return nil
	}
	return os.Chown(path, int(st.Uid), int(st.Gid))
}
