package main

import (
	"strings"
	"testing"
)

func TestParseSource(t *testing.T) {
	for arg, want := range map[string]source{
		"data":                     {"data", ""},
		"data/":                    {"data", ""},
		"data/a":                   {"data", "a/"},
		"data/a/b/":                {"data", "a/b/"},
		"data:a/b":                 {"data", "a/b/"},
		"data:/a/b":                {"data", "a/b/"},
		"data:":                    {"data", ""},
		"data:/":                   {"data", ""},
		"s3://data":                {"data", ""},
		"s3://data/":               {"data", ""},
		"s3://data/a b/ü":          {"data", "a b/ü/"},
		"s3://data/a:b":            {"data", "a:b/"},
		"s3://":                    {"", ""},
		"Old_Bucket.Of-Mine":       {"Old_Bucket.Of-Mine", ""},
		strings.Repeat("b", 255):   {strings.Repeat("b", 255), ""},
		"data/" + "x%2Fy":          {"data", "x%2Fy/"},
		"data/" + "..x":            {"data", "..x/"},
		"s3://data/ends/in/slash/": {"data", "ends/in/slash/"},
	} {
		got, err := parseSource(arg)
		if err != nil || got != want {
			t.Errorf("parseSource(%q) = %+v, %v, want %+v", arg, got, err, want)
		}
		if again, err := parseSource(got.String()); err != nil || again != got {
			t.Errorf("parseSource(%q), its canonical spelling, = %+v, %v", got.String(), again, err)
		}
	}
	for arg, say := range map[string]string{
		"":                                  "empty",
		"/mnt":                              "empty",
		"ab":                                "3 to 255",
		strings.Repeat("b", 256):            "3 to 255",
		"s3:/data":                          "3 to 255",
		"my bucket":                         "letters",
		"bücket":                            "letters",
		"10.0.0.1":                          "IP address",
		"s3:///data":                        "empty",
		"https://rgw.example/data":          "--endpoint",
		"data//a":                           "segment",
		"data/a//b":                         "segment",
		"data/../b":                         "segment",
		"data/.":                            "segment",
		"data/a\x00":                        "NUL",
		"data/" + strings.Repeat("k", 1024): "longer",
	} {
		got, err := parseSource(arg)
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("parseSource(%q) = %+v, %v, want an error with %q", arg, got, err, say)
		}
	}
}
