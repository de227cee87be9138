package main

import "testing"

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1048576": 1 << 20, "64M": 64 << 20, "64m": 64 << 20, "64MiB": 64 << 20, "64mib": 64 << 20,
		"64MB": 64e6, "1G": 1 << 30, "1GiB": 1 << 30, "1.5GiB": 3 << 29, "2T": 2 << 40, "5 MiB": 5 << 20, "7B": 7, "8KiB": 8 << 10, "8kb": 8000,
	} {
		var v sizeValue
		if err := v.Set(text); err != nil || int64(v) != want {
			t.Errorf("size %q = %d, %v, want %d", text, v, err, want)
		}
		var again sizeValue
		if err := again.Set(v.String()); err != nil || again != v {
			t.Errorf("size %q shows as %q, which is %d, %v", text, v.String(), again, err)
		}
	}
	for _, text := range []string{"", "M", "-1", "-1M", "12X", "1e400", "9999999T", "1MM", "nan", "inf"} {
		var v sizeValue
		if err := v.Set(text); err == nil {
			t.Errorf("size %q is taken for %d", text, v)
		}
	}
}

func TestModesAndOwners(t *testing.T) {
	for text, want := range map[string]modeValue{"644": 0o644, "0644": 0o644, "0o755": 0o755, "0": 0} {
		var v modeValue
		if err := v.Set(text); err != nil || v != want {
			t.Errorf("mode %q = %v, %v, want %v", text, &v, err, &want)
		}
	}
	for _, text := range []string{"", "8", "u+x", "-1", "10000", "0x1ff"} {
		var v modeValue
		if err := v.Set(text); err == nil {
			t.Errorf("mode %q is taken for %v", text, &v)
		}
	}
	for text, want := range map[string]ownerValue{"0": 0, "1000": 1000, "4294967294": 4294967294} {
		var v ownerValue
		if err := v.Set(text); err != nil || v != want {
			t.Errorf("id %q = %v, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "root", "-1", "4294967295"} {
		var v ownerValue
		if err := v.Set(text); err == nil {
			t.Errorf("id %q is taken for %v", text, v)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"metadata-ttl", "negative-ttl", "memory-limit", "read-only", "log-level", "uid", "gid"}
	for word, want := range map[string]string{
		"metadta-ttl": "metadata-ttl", "metadata_ttl": "metadata-ttl", "readonly": "read-only", "loglevel": "log-level",
		"meta": "metadata-ttl", "uidd": "uid", "wibble": "", "x": "",
	} {
		if got := nearest(word, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
