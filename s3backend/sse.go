package s3backend

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// KeySize is the size in bytes of a key of SSE-C, which knows AES-256 only.
const KeySize = 32

// maxKeyFile is the size in bytes above which a file holds no keys: a wrong
// path must not be read into memory whole.
const maxKeyFile = 64 << 10

// Key is a customer's key of SSE-C: the server encrypts with it, and forgets
// it. No formatting, logging or encoding shows it. The zero Key is none.
type Key struct {
	// Behind a function: fmt prints unexported fields of other structs without
	// asking their types, and with a verb that does not fit follows pointers.
	secret func() *[KeySize]byte
	name   string // where it is from, for messages
}

// NewKey returns a Key of KeySize bytes. name says in messages where it is from.
func NewKey(secret []byte, name string) (Key, error) {
	if len(secret) != KeySize {
		return Key{}, fmt.Errorf("%s: a key has %d bytes, this one has %d", name, KeySize, len(secret))
	}
	own := (*[KeySize]byte)(bytes.Clone(secret))
	return Key{secret: func() *[KeySize]byte { return own }, name: name}, nil
}

// Name says where the key is from.
func (k Key) Name() string { return k.name }

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.secret == nil }

// Equal reports whether two keys are the same.
func (k Key) Equal(other Key) bool {
	if k.IsZero() || other.IsZero() {
		return k.IsZero() && other.IsZero()
	}
	return subtle.ConstantTimeCompare(k.secret()[:], other.secret()[:]) == 1
}

// header returns the values of x-amz-server-side-encryption-customer-key and
// -key-MD5.
func (k Key) header() (key, sum string) {
	secret := k.secret()[:]
	return base64.StdEncoding.EncodeToString(secret), base64Sum(md5.Sum(secret))
}

func (k Key) show() string {
	if k.IsZero() {
		return ""
	}
	return redacted
}

// String implements fmt.Stringer.
func (k Key) String() string { return k.show() }

// GoString implements fmt.GoStringer (%#v).
func (k Key) GoString() string { return fmt.Sprintf("%q", k.show()) }

// Format implements fmt.Formatter: no verb gets around String.
func (k Key) Format(f fmt.State, _ rune) {
	// A fmt.State's Write cannot fail: it appends to a buffer.
	_, _ = io.WriteString(f, k.show())
}

// MarshalText implements encoding.TextMarshaler.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.show()), nil }

// LogValue implements slog.LogValuer.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.show()) }

// GenerateKeyFile makes a file with one new random key, as its 32 bytes, which
// is what other programs take too (aws --sse-c-key fileb://FILE). It is
// readable for its owner alone. A file that exists is never touched.
func GenerateKeyFile(path string) error {
	var key [KeySize]byte
	if _, err := rand.Read(key[:]); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(key[:])
	if err == nil {
		// What it encrypts must not outlive it.
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return errors.Join(err, os.Remove(path)) // half a key is no key
	}
	return nil
}

// ReadKeyFile reads the keys of a file; see ParseKeys. As ssh does with its
// keys, it refuses a file that others may read or write, and one of another
// user but root.
func ReadKeyFile(path string) ([]Key, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	switch {
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return nil, fmt.Errorf("%s is no regular file", path)
	case st.Mode&0o077 != 0:
		return nil, fmt.Errorf("%s can be read or written by others (mode %04o): chmod 600 %s", path, st.Mode&0o7777, path)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return nil, fmt.Errorf("%s belongs to user %d: a key file must be yours", path, st.Uid)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%s is larger than %d bytes: not a key file", path, maxKeyFile)
	}
	return ParseKeys(data, path)
}

// ParseKeys reads the keys of a key file's content. It is either the 32 bytes
// of one key (what `openssl rand 32` writes, and OSiRIS's example), or text
// with a key on each line: in base64, in hexadecimal, or 32 characters as they
// are, which is how s3fs reads its files. Empty lines and those that begin with
// # don't count. name is the file's, for messages.
func ParseKeys(data []byte, name string) ([]Key, error) {
	if len(data) == KeySize {
		k, err := NewKey(data, name)
		return []Key{k}, err
	}
	var keys []Key
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		secret := decodeKey(line)
		if secret == nil {
			// The line itself is not shown: it may be a key with a typo.
			return nil, fmt.Errorf("%s: line %d is no key: give 32 bytes as base64 (44 characters) or hexadecimal (64), or a file of 32 bytes", name, number)
		}
		k, err := NewKey(secret, fmt.Sprintf("%s:%d", name, number))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no key: make one by rgwfs keygen", name)
	}
	return keys, nil
}

// decodeKey returns the bytes of a key written as text, nil if it is none. The
// three forms differ in length.
func decodeKey(s string) []byte {
	switch len(s) {
	case KeySize:
		return []byte(s)
	case 2 * KeySize:
		if b, err := hex.DecodeString(s); err == nil {
			return b
		}
	}
	for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding} {
		if b, err := e.Strict().DecodeString(s); err == nil && len(b) == KeySize {
			return b
		}
	}
	return nil
}
