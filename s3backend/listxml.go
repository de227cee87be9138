package s3backend

import (
	"bytes"
	"fmt"
	"strconv"
	"time"
)

// listing is the XML of a ListObjectsV2 answer, its names as they came.
type listing struct {
	objects   []Object
	prefixes  []string
	truncated bool
	encoded   bool   // names are in encoding-type=url
	token     string // of the next page
}

// scan reads a page.
func (l *listing) scan(data []byte) error {
	var obj Object // gathers one Contents
	return walk(data, "ListBucketResult", func(parent, name, text []byte) error {
		if parent != nil {
			return l.subfield(parent, name, text, &obj)
		}
		err := l.field(name, text, &obj)
		obj = Object{}
		return err
	})
}

// field takes an element of the document.
func (l *listing) field(name, text []byte, obj *Object) error {
	switch string(name) {
	case "Contents":
		l.objects = append(l.objects, *obj)
	case "IsTruncated":
		switch string(bytes.TrimSpace(text)) {
		case "true":
			l.truncated = true
		case "false", "":
			l.truncated = false
		default:
			return fmt.Errorf("IsTruncated %q", text)
		}
	case "NextContinuationToken":
		l.token = string(text)
	case "EncodingType":
		l.encoded = string(text) == "url"
	}
	return nil
}

// subfield takes an element of an element.
func (l *listing) subfield(parent, name, text []byte, obj *Object) error {
	var err error
	switch string(parent) {
	case "CommonPrefixes":
		if string(name) == "Prefix" {
			l.prefixes = append(l.prefixes, string(text))
		}
	case "Contents":
		switch string(name) {
		case "Key":
			obj.Key = string(text)
		case "ETag":
			obj.ETag = string(bytes.Trim(text, `"`))
		case "Size":
			obj.Size, err = strconv.ParseInt(string(text), 10, 64)
		case "LastModified":
			obj.LastModified, err = time.Parse(time.RFC3339Nano, string(text))
		case "StorageClass":
			// Nearly always this one: no memory for each.
			if obj.StorageClass = "STANDARD"; string(text) != obj.StorageClass {
				obj.StorageClass = string(text)
			}
		}
	}
	return err
}
