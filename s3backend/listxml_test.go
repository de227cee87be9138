package s3backend

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
)

// reference is what encoding/xml makes of a listing.
type reference struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	IsTruncated           string
	NextContinuationToken string
	EncodingType          string
	Contents              []struct {
		Key, ETag, Size, LastModified, StorageClass string
	}
	CommonPrefixes []struct{ Prefix []string }
}

const sampleListing = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name><Prefix></Prefix>
<MaxKeys>1000</MaxKeys><IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken><EncodingType>url</EncodingType>
<!-- one --><Contents><Key>a%2Fb</Key><LastModified>2026-11-22T12:44:26.314Z</LastModified><ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>17</Size><StorageClass>STANDARD</StorageClass><Owner><ID>x</ID><DisplayName>y</DisplayName></Owner><Type>Normal</Type></Contents>
<Contents><Key><![CDATA[c<d]]></Key><LastModified>2026-11-22T12:44:26Z</LastModified><ETag>"e-3"</ETag><Size>0</Size><StorageClass>COLD</StorageClass></Contents>
<CommonPrefixes><Prefix>dir/</Prefix></CommonPrefixes><CommonPrefixes><Prefix>&#x1F600;/</Prefix></CommonPrefixes></ListBucketResult>
`

func TestScanListing(t *testing.T) {
	var l listing
	if err := l.scan([]byte(sampleListing)); err != nil {
		t.Fatal(err)
	}
	want := []Object{
		{Key: "a%2Fb", Size: 17, ETag: "9dd4e461268c8034f5c8564e155c67a6", StorageClass: "STANDARD",
			LastModified: time.Date(2026, 11, 22, 12, 44, 26, 314e6, time.UTC)},
		{Key: "c<d", Size: 0, ETag: "e-3", StorageClass: "COLD", LastModified: time.Date(2026, 11, 22, 12, 44, 26, 0, time.UTC)},
	}
	if len(l.objects) != 2 || fmt.Sprint(l.objects) != fmt.Sprint(want) {
		t.Errorf("objects %v", l.objects)
	}
	if !slices.Equal(l.prefixes, []string{"dir/", "😀/"}) || !l.truncated || !l.encoded || l.token != "a&b" {
		t.Errorf("listing %+v", l)
	}
}

func TestScanTakesControlCharacters(t *testing.T) {
	var l listing
	if err := l.scan([]byte("<ListBucketResult><Contents><Key>\x01&#x02;</Key></Contents></ListBucketResult>")); err != nil {
		t.Fatal(err)
	}
	if l.objects[0].Key != "\x01\x02" {
		t.Errorf("key %q", l.objects[0].Key)
	}
}

func TestScanRefuses(t *testing.T) {
	for n := range len(sampleListing) - 2 { // without its last line feed it is whole
		if err := new(listing).scan([]byte(sampleListing[:n])); err == nil {
			t.Fatalf("no error for the first %d bytes", n)
		}
	}
	err := new(listing).scan([]byte(sampleListing[:len(sampleListing)/2]))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a document: %v", err)
	}
	for _, s := range []string{
		"", "<html></html>", "text", "<ListBucketResult></Other>", "<ListBucketResult>&bad;</ListBucketResult>",
		"<!DOCTYPE x><ListBucketResult/>", "<ListBucketResult/><ListBucketResult/>",
		"<ListBucketResult><Contents><Size>x</Size></Contents></ListBucketResult>",
		"<ListBucketResult><IsTruncated>maybe</IsTruncated></ListBucketResult>",
		"<ListBucketResult>&#xD800;</ListBucketResult>", "<>", "< >", "</>",
	} {
		if err := new(listing).scan([]byte(s)); err == nil {
			t.Errorf("no error for %q", s)
		}
	}
}

func FuzzScanListing(f *testing.F) {
	f.Add([]byte(sampleListing))
	f.Add([]byte("<ListBucketResult><Contents><Key>a\r\nb</Key></Contents></ListBucketResult>"))
	f.Add([]byte("<ListBucketResult a='>'><x:Contents/><Contents><Key>a<b/>c</Key><Key>d</Key></Contents></ListBucketResult>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var l listing
		err := l.scan(data)
		var ref reference
		// What both read, both must read alike. encoding/xml knows more of XML
		// (and refuses more), so either may fail alone.
		if err != nil || xml.Unmarshal(data, &ref) != nil {
			return
		}
		if l.token != ref.NextContinuationToken || l.encoded != (ref.EncodingType == "url") ||
			l.truncated != (strings.TrimSpace(ref.IsTruncated) == "true") {
			t.Errorf("%+v, want %+v", l, ref)
		}
		var prefixes []string
		for _, p := range ref.CommonPrefixes {
			prefixes = append(prefixes, p.Prefix...)
		}
		if !slices.Equal(l.prefixes, prefixes) {
			t.Errorf("prefixes %q, want %q", l.prefixes, prefixes)
		}
		if len(l.objects) != len(ref.Contents) {
			t.Fatalf("%d objects, want %d", len(l.objects), len(ref.Contents))
		}
		for i, o := range l.objects {
			r := ref.Contents[i]
			if o.Key != r.Key || o.ETag != strings.Trim(r.ETag, `"`) {
				t.Errorf("object %+v, want %+v", o, r)
			}
		}
	})
}

func BenchmarkScan1000Keys(b *testing.B) {
	var doc strings.Builder
	doc.WriteString("<ListBucketResult><EncodingType>url</EncodingType>")
	for i := range 1000 {
		fmt.Fprintf(&doc, `<Contents><Key>some/directory/file%04d.dat</Key><LastModified>2026-11-22T12:44:26.314Z</LastModified><ETag>&quot;9dd4e461268c8034f5c8564e155c67a6&quot;</ETag><Size>%d</Size><StorageClass>STANDARD</StorageClass></Contents>`, i, i)
	}
	doc.WriteString("</ListBucketResult>")
	data := []byte(doc.String())
	for b.Loop() {
		var l listing
		if err := l.scan(data); err != nil || len(l.objects) != 1000 {
			b.Fatal(err, len(l.objects))
		}
	}
}
