package s3backend_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rgwfs/s3backend"
)

// secretBytes is a key that no test's text holds by chance.
var secretBytes = []byte("Kp7mW2xQ9vL4nR8tZ3cF6hJ1bS5dG0aY")

func testKey(t testing.TB, secret []byte) s3backend.Key {
	t.Helper()
	k, err := s3backend.NewKey(secret, "test.key")
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKeys(t *testing.T) {
	b64, hexa := base64.StdEncoding.EncodeToString(secretBytes), hex.EncodeToString(secretBytes)
	raw := append([]byte{'#', '\n', 0, 0xff}, secretBytes[4:]...) // looks like a comment, and is none
	other := bytes.Repeat([]byte("x"), 32)
	for name, c := range map[string]struct {
		data []byte
		want [][]byte
	}{
		"raw":                 {secretBytes, [][]byte{secretBytes}},
		"raw binary":          {raw, [][]byte{raw}},
		"base64":              {[]byte(b64), [][]byte{secretBytes}},
		"base64 line":         {[]byte(b64 + "\n"), [][]byte{secretBytes}},
		"base64 unpadded":     {[]byte(strings.TrimRight(b64, "=") + "\r\n"), [][]byte{secretBytes}},
		"hex":                 {[]byte(hexa + "\n"), [][]byte{secretBytes}},
		"hex in capitals":     {[]byte(strings.ToUpper(hexa)), [][]byte{secretBytes}},
		"s3fs":                {[]byte("# new\n" + b64 + "\n\n# old\n" + string(other) + "\n"), [][]byte{secretBytes, other}},
		"32 characters, line": {[]byte(string(secretBytes) + "\n"), [][]byte{secretBytes}},
	} {
		t.Run(name, func(t *testing.T) {
			keys, err := s3backend.ParseKeys(c.data, "f")
			if err != nil {
				t.Fatal(err)
			}
			if len(keys) != len(c.want) {
				t.Fatalf("%d keys, want %d", len(keys), len(c.want))
			}
			for i, want := range c.want {
				if !keys[i].Equal(testKey(t, want)) {
					t.Errorf("key %d is another", i)
				}
			}
		})
	}
	for name, data := range map[string]string{
		"empty": "", "comments": "# nothing\n", "short": "abc\n", "short base64": b64[:40],
		"a good line and a bad one": b64 + "\nnonsense\n", "31 bytes": string(secretBytes[:31]), "48 bytes": strings.Repeat("wxyz", 16),
	} {
		_, err := s3backend.ParseKeys([]byte(data), "f")
		if err == nil {
			t.Errorf("%s: taken for a key", name)
		} else if strings.Contains(err.Error(), "nonsense") || strings.Contains(err.Error(), b64[:40]) {
			t.Errorf("%s: the message shows the line: %v", name, err)
		}
	}
}

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sse.key")
	if err := s3backend.GenerateKeyFile(path); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 || st.Size() != 32 {
		t.Fatalf("mode %v, %d bytes, %v", st.Mode(), st.Size(), err)
	}
	first, err := s3backend.ReadKeyFile(path)
	if err != nil || len(first) != 1 {
		t.Fatal(first, err)
	}
	if err := s3backend.GenerateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second key in the same file: %v", err)
	}
	again, err := s3backend.ReadKeyFile(path)
	if err != nil || !again[0].Equal(first[0]) {
		t.Errorf("the key has changed: %v", err)
	}
	other := path + "2"
	if err := s3backend.GenerateKeyFile(other); err != nil {
		t.Fatal(err)
	}
	if second, err := s3backend.ReadKeyFile(other); err != nil || second[0].Equal(first[0]) {
		t.Errorf("two keys are the same: %v", err)
	}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o620, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := s3backend.ReadKeyFile(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %o: %v", mode, err)
		}
	}
	if _, err := s3backend.ReadKeyFile(filepath.Dir(path)); err == nil {
		t.Error("a directory was taken for a key file")
	}
}

func TestKeyIsNeverShown(t *testing.T) {
	k := testKey(t, secretBytes)
	type inner struct{ key s3backend.Key }
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%c", "%U", "%p", "%t"} {
		fmt.Fprintf(&out, verb, k)
		fmt.Fprintf(&out, verb, &k)
		fmt.Fprintf(&out, verb, []s3backend.Key{k})
		fmt.Fprintf(&out, verb, inner{k})
		fmt.Fprintf(&out, verb, s3backend.Config{SSEKeys: []s3backend.Key{k}})
	}
	if err := json.NewEncoder(&out).Encode([]s3backend.Key{k}); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "key", k, "keys", []s3backend.Key{k}, "in", inner{k})
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "key", k, "keys", []s3backend.Key{k}, "in", inner{k})
	for _, form := range []string{
		string(secretBytes), base64.StdEncoding.EncodeToString(secretBytes), hex.EncodeToString(secretBytes),
		strings.ToUpper(hex.EncodeToString(secretBytes)), fmt.Sprint(secretBytes), "75, 112, 55", "75 112 55",
	} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the key shows as %q", form)
		}
	}
	if !strings.Contains(out.String(), "redacted") {
		t.Error("nothing says that there is a key")
	}
}
