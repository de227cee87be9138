package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// sizeValue is a flag's size in bytes: 1048576, 64M, 64MiB (powers of 1024) or
// 64MB (powers of 1000), as dd(1) reads them.
type sizeValue int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	// The longer suffix first: "KiB" and "KB" end in "B" too.
	{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40},
	{"B", 1}, {"", 1},
}

func (v *sizeValue) Set(text string) error {
	upper := strings.ToUpper(strings.TrimSpace(text))
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(upper, unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		// Written so that NaN is refused too.
		if err != nil || !(n >= 0 && n*float64(unit.bytes) < 1<<62) {
			return fmt.Errorf("%q is not a size: give bytes, or a number with K, M, G or T, such as 64M or 1.5GiB", text)
		}
		*v = sizeValue(n * float64(unit.bytes))
		return nil
	}
	panic("unreachable: the last unit is the empty suffix")
}

func (v *sizeValue) String() string {
	n := int64(*v)
	for _, unit := range []struct {
		name  string
		shift uint
	}{{"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}} {
		if n != 0 && n%(1<<unit.shift) == 0 {
			return strconv.FormatInt(n>>unit.shift, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10)
}

func (v *sizeValue) Type() string { return "SIZE" }

// modeValue is a flag's permission bits, written in octal.
type modeValue uint32

func (v *modeValue) Set(text string) error {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0o"), 8, 32)
	if err != nil || n > 0o7777 {
		return fmt.Errorf("%q is not an octal mode such as 0644", text)
	}
	*v = modeValue(n)
	return nil
}

func (v *modeValue) String() string { return fmt.Sprintf("%04o", uint32(*v)) }

func (v *modeValue) Type() string { return "MODE" }

// ownerValue is a flag's numeric user or group id. The full 32 bits but the
// last are ids; 4294967295 means "don't change" to chown(2), so nobody is it.
type ownerValue uint32

func (v *ownerValue) Set(text string) error {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == 1<<32-1 {
		return fmt.Errorf("%q is not a numeric id", text)
	}
	*v = ownerValue(n)
	return nil
}

func (v *ownerValue) String() string { return strconv.FormatUint(uint64(*v), 10) }

func (v *ownerValue) Type() string { return "ID" }

// choiceValue is a flag that takes one of a few words.
type choiceValue struct {
	value   *string
	choices []string
}

func (v choiceValue) Set(text string) error {
	for _, choice := range v.choices {
		if text == choice {
			*v.value = text
			return nil
		}
	}
	return fmt.Errorf("%q is none of %s", text, strings.Join(v.choices, ", "))
}

func (v choiceValue) String() string {
	if v.value == nil {
		return ""
	}
	return *v.value
}

func (v choiceValue) Type() string { return strings.Join(v.choices, "|") }

// timeValue is a flag's point in time.
type timeValue time.Time

func (v *timeValue) Set(text string) error {
	t, err := parseTime(text)
	*v = timeValue(t)
	return err
}

func (v *timeValue) String() string {
	if time.Time(*v).IsZero() {
		return ""
	}
	return time.Time(*v).Format(time.RFC3339)
}

func (v *timeValue) Type() string { return "TIME" }

// parseTime understands RFC 3339, also without seconds, time or zone; without
// a zone it is local.
func parseTime(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: give it as 2026-11-01T00:00Z", text)
}
