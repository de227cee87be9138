package s3backend

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Secret is a string that no formatting, logging or encoding shows. An empty
// Secret shows as empty, so that "none given" can be told from "given". To use
// the value, convert it: string(s).
type Secret string

func (s Secret) show() string {
	if s == "" {
		return ""
	}
	return redacted
}

// String implements fmt.Stringer.
func (s Secret) String() string { return s.show() }

// GoString implements fmt.GoStringer (%#v).
func (s Secret) GoString() string { return fmt.Sprintf("%q", s.show()) }

// Format implements fmt.Formatter, so that no verb (%x, %q, %d) gets around
// String.
func (s Secret) Format(f fmt.State, verb rune) {
	out := s.show()
	if verb == 'q' || verb == 'v' && f.Flag('#') {
		out = s.GoString()
	}
	// A fmt.State's Write cannot fail: it appends to a buffer.
	_, _ = f.Write([]byte(out))
}

// MarshalText implements encoding.TextMarshaler, which JSON, XML and TOML
// encoders use.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.show()), nil }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.show()) }
