package main

import (
	"fmt"
	"net/netip"
	"strings"

	"rgwfs/s3backend"
)

// source is what is mounted.
type source struct {
	bucket string // "" = all buckets of the user
	prefix string // "" = the whole bucket, else ends in "/"
}

// String returns the canonical spelling, which is also what mount(8) and df(1)
// show as the filesystem's name.
func (s source) String() string { return "s3://" + s.bucket + s.path() }

func (s source) path() string {
	if s.prefix == "" {
		return ""
	}
	return "/" + strings.TrimSuffix(s.prefix, "/")
}

const sourceForms = "BUCKET, BUCKET/PREFIX, BUCKET:PREFIX, s3://BUCKET/PREFIX, or s3:// for all your buckets"

// parseSource understands the spellings in sourceForms.
func parseSource(arg string) (source, error) {
	rest, isURL := strings.CutPrefix(arg, "s3://")
	if !isURL {
		if scheme, _, ok := strings.Cut(arg, "://"); ok {
			return source{}, fmt.Errorf("SOURCE %q: %s:// is not a bucket; give the server by --endpoint and SOURCE as %s", arg, scheme, sourceForms)
		}
		if arg == "" {
			return source{}, fmt.Errorf("SOURCE is empty: give %s", sourceForms)
		}
	}
	if isURL && rest == "" {
		return source{}, nil
	}
	separators := "/:"
	if isURL {
		separators = "/"
	}
	bucket, prefix := rest, ""
	if i := strings.IndexAny(rest, separators); i >= 0 {
		bucket, prefix = rest[:i], rest[i+1:]
		if rest[i] == ':' {
			prefix = strings.TrimPrefix(prefix, "/") // bucket:/prefix, as s3fs spells it
		}
	}
	if err := checkBucketName(bucket); err != nil {
		return source{}, fmt.Errorf("SOURCE %q: %w", arg, err)
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	if err := checkPrefix(prefix); err != nil {
		return source{}, fmt.Errorf("SOURCE %q: %w", arg, err)
	}
	return source{bucket: bucket, prefix: prefix}, nil
}

// checkBucketName refuses what no RGW can hold, so that a slip of the hand is
// told from a missing bucket. RGW's strict rules are S3's (3 to 63 of
// [a-z0-9.-]); with rgw_relaxed_s3_bucket_names it takes up to 255 and capital
// letters and "_" too, and buckets made under those rules stay.
// (rgw_rest_s3.cc, valid_s3_bucket_name)
func checkBucketName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("the bucket's name is empty: give %s", sourceForms)
	case len(name) < 3 || len(name) > 255:
		return fmt.Errorf("%q can't be a bucket: names have 3 to 255 characters", name)
	}
	for _, r := range name {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune(".-_", r) {
			return fmt.Errorf("%q can't be a bucket: names have letters, digits, '.', '-' and '_', not %q", name, r)
		}
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("%q can't be a bucket: names don't look like IP addresses; give the server by --endpoint", name)
	}
	return nil
}

// checkPrefix refuses prefixes that could not be reached as a path.
func checkPrefix(prefix string) error {
	if len(prefix) > s3backend.MaxKeyLength {
		return fmt.Errorf("the prefix is longer than a key can be (%d bytes)", s3backend.MaxKeyLength)
	}
	if prefix == "" {
		return nil
	}
	for _, segment := range strings.Split(strings.TrimSuffix(prefix, "/"), "/") {
		switch segment {
		case "", ".", "..":
			return fmt.Errorf("the prefix has the segment %q, which can't be a directory's name", segment)
		}
		if strings.ContainsRune(segment, 0) {
			return fmt.Errorf("the prefix has a NUL byte")
		}
	}
	return nil
}
