package s3test

import (
	"fmt"
	"slices"
	"strings"

	"rgwfs/s3backend"
)

var listObligations = []obligation{
	{"ByteOrder", testListByteOrder},
	{"Delimiter", testListDelimiter},
	{"Entries", testListEntries},
	{"Empty", testListEmpty},
	{"Pages", testListPages},
	{"ManyPages", testListManyPages},
	{"StartAfter", testListStartAfter},
	{"StartAfterCommonPrefix", testListStartAfterCommonPrefix},
	{"Probe", testListProbe},
	{"OddPrefixes", testListOddPrefixes},
	{"SeesWrites", testListSeesWrites},
}

// listed is the names of a page's entries: objects and prefixes, merged in
// byte order, which is the order in which pages deliver them.
func (b *bench) listed(page s3backend.Page) []string {
	all := append(keysOf(page.Objects), page.Prefixes...)
	slices.Sort(all)
	return b.names(all)
}

// list returns one page, checked for what holds of every page. Prefix and
// StartAfter are relative to the bench's prefix.
func (b *bench) list(req s3backend.ListRequest) s3backend.Page {
	b.Helper()
	req.Prefix = b.key(req.Prefix)
	if req.StartAfter != "" && !strings.HasPrefix(req.StartAfter, b.prefix) {
		req.StartAfter = b.key(req.StartAfter)
	}
	page, err := b.store.List(b.ctx, req)
	b.ok(err)
	keys := keysOf(page.Objects)
	if !slices.IsSorted(keys) || !slices.IsSorted(page.Prefixes) {
		b.Errorf("List %+v: not in byte order: %q %q", req, keys, page.Prefixes)
	}
	if n := len(keys) + len(page.Prefixes); req.MaxKeys > 0 && n > req.MaxKeys {
		b.Errorf("List %+v: %d entries", req, n)
	}
	for _, k := range append(keys, page.Prefixes...) {
		if !strings.HasPrefix(k, req.Prefix) || k <= req.StartAfter {
			b.Errorf("List %+v: has %q", req, k)
		}
	}
	return page
}

// listAll follows Next to the end and returns all entries in order.
func (b *bench) listAll(req s3backend.ListRequest) []string {
	b.Helper()
	var all []string
	for {
		page := b.list(req)
		entries := b.listed(page)
		all = append(all, entries...)
		if page.Next == "" {
			return all
		}
		if len(entries) == 0 {
			b.Fatalf("List %+v: an empty page that isn't the last", req)
		}
		if page.Next <= req.StartAfter {
			b.Fatalf("List %+v: Next %q does not move on", req, page.Next)
		}
		req.StartAfter = page.Next
	}
}

func testListByteOrder(b *bench) {
	// '!' < '-' < '/' < '0' < 'B' < 'a' < '~' < 'é'; UTF-16 would put the fish
	// before U+FFFD.
	names := []string{"a", "a!", "a-b", "a/b", "a/c/d", "a0", "B", "a\x01", "aé", "z~", "\ufffd", "🐟", "é", "a/", "a/ b"}
	b.putAll(names...)
	slices.Sort(names)
	b.sameStrings("List", b.listAll(s3backend.ListRequest{}), names)
}

func testListDelimiter(b *bench) {
	b.putAll("a", "a!", "a/b", "a/c/d", "a/c/e", "a0", "b/", "b/x", "c//x", "d")
	for _, c := range []struct {
		prefix            string
		objects, prefixes []string
	}{
		{"", []string{"a", "a!", "a0", "d"}, []string{"a/", "b/", "c/"}},
		{"a", []string{"a", "a!", "a0"}, []string{"a/"}},
		{"a/", []string{"a/b"}, []string{"a/c/"}},
		{"a/c", nil, []string{"a/c/"}},
		{"a/c/", []string{"a/c/d", "a/c/e"}, nil},
		{"b/", []string{"b/", "b/x"}, nil},
		{"c/", nil, []string{"c//"}},
		{"c//", []string{"c//x"}, nil},
		{"nothing/", nil, nil},
	} {
		page := b.list(s3backend.ListRequest{Prefix: c.prefix, Delimiter: "/"})
		b.sameStrings(fmt.Sprintf("objects below %q", c.prefix), b.names(keysOf(page.Objects)), c.objects)
		b.sameStrings(fmt.Sprintf("prefixes below %q", c.prefix), b.names(page.Prefixes), c.prefixes)
		if page.Next != "" {
			b.Errorf("below %q: Next is %q on the only page", c.prefix, page.Next)
		}
	}
}

func testListEntries(b *bench) {
	key, data := b.key("k"), random(12345)
	req := putOf(key, data)
	req.Metadata = map[string]string{"mode": "33188"}
	req.ContentType = "text/plain"
	_, err := b.store.Put(b.ctx, req)
	b.ok(err)
	head, err := b.store.Head(b.ctx, key)
	b.ok(err)
	page := b.list(s3backend.ListRequest{})
	if len(page.Objects) != 1 {
		b.Fatalf("List = %+v, want one object", page)
	}
	o := page.Objects[0]
	if o.Key != key || o.Size != int64(len(data)) || o.ETag != head.ETag {
		b.Errorf("List = %+v, want key %q, %d bytes, ETag %s", o, key, len(data), head.ETag)
	}
	// HTTP's Last-Modified has whole seconds.
	if d := o.LastModified.Sub(head.LastModified).Abs().Seconds(); d >= 1 {
		b.Errorf("LastModified: List says %v, Head %v", o.LastModified, head.LastModified)
	}
	if o.Metadata != nil || o.ContentType != "" {
		b.Errorf("List: Metadata %v, ContentType %q; want unknown", o.Metadata, o.ContentType)
	}
}

func testListEmpty(b *bench) {
	for _, delimiter := range []string{"", "/"} {
		page := b.list(s3backend.ListRequest{Prefix: "nothing", Delimiter: delimiter})
		if len(page.Objects) != 0 || len(page.Prefixes) != 0 || page.Next != "" {
			b.Errorf("List of nothing = %+v", page)
		}
	}
}

func testListPages(b *bench) {
	names := []string{"a", "a/1", "a/2", "b", "c/1", "c/2/3", "c/2/4", "d+e", "d e", "d%2Fe", "d\x01e", "é/1", "é/2", "é0", "z/"}
	b.putAll(names...)
	slices.Sort(names)
	tops := []string{"a", "a/", "b", "c/", "d\x01e", "d e", "d%2Fe", "d+e", "z/", "é/", "é0"}
	for n := 1; n <= len(names)+1; n++ {
		b.sameStrings(fmt.Sprintf("pages of %d", n), b.listAll(s3backend.ListRequest{MaxKeys: n}), names)
		b.sameStrings(fmt.Sprintf("pages of %d with delimiter", n),
			b.listAll(s3backend.ListRequest{MaxKeys: n, Delimiter: "/"}), tops)
	}
	page := b.list(s3backend.ListRequest{MaxKeys: len(names)})
	if page.Next != "" {
		b.Errorf("a page that holds all has Next %q", page.Next)
	}
	page = b.list(s3backend.ListRequest{MaxKeys: len(names) - 1})
	if page.Next == "" || len(page.Objects) != len(names)-1 {
		b.Errorf("a page of %d, all but one: %d objects, Next %q", len(names)-1, len(page.Objects), page.Next)
	}
}

func testListManyPages(b *bench) {
	// More than a page of objects, and of prefixes, whatever a page holds.
	const files, dirs = 1120, 6
	var names []string
	for i := range files {
		names = append(names, fmt.Sprintf("f%05d", i))
	}
	var tops []string
	for i := range dirs {
		tops = append(tops, fmt.Sprintf("d%d/", i))
		for j := range 3 {
			names = append(names, fmt.Sprintf("d%d/%d", i, j))
		}
	}
	tops = append(tops, names[:files]...)
	b.putAll(names...)
	slices.Sort(names)
	b.sameStrings("List", b.listAll(s3backend.ListRequest{}), names)
	b.sameStrings("List with delimiter", b.listAll(s3backend.ListRequest{Delimiter: "/"}), tops)
	page := b.list(s3backend.ListRequest{MaxKeys: s3backend.MaxListKeys})
	if len(page.Objects) != s3backend.MaxListKeys || page.Next == "" {
		b.Errorf("a page of MaxListKeys has %d keys, Next %q", len(page.Objects), page.Next)
	}
}

func testListStartAfter(b *bench) {
	names := []string{"a", "b", "b/1", "b/2", "c", "é"}
	b.putAll(names...)
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "a", names[1:]},
		{"", "aa", names[1:]},
		{"", "b", names[2:]},
		{"", "b/", names[2:]},
		{"", "b/1", names[3:]},
		{"", "b/9", names[4:]},
		{"", "c", names[5:]},
		{"", "é", nil},
		{"", "🐟", nil},
		{"b", "a", names[1:4]},
		{"b/", "b", names[2:4]},
		{"b/", "b/", names[2:4]},
		{"b/", "b/1", names[3:4]},
		{"b/", "b/2", nil},
		{"b/", "c", nil},
	} {
		page := b.list(s3backend.ListRequest{Prefix: c.prefix, StartAfter: c.after})
		b.sameStrings(fmt.Sprintf("below %q after %q", c.prefix, c.after), b.listed(page), c.want)
	}
}

func testListStartAfterCommonPrefix(b *bench) {
	b.putAll("a/1", "a/2", "a0", "b/1", "b/2/x", "b/2/y", "b/3", "c")
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"", "a", []string{"a/", "a0", "b/", "c"}},
		{"", "a/", []string{"a0", "b/", "c"}},
		{"", "a0", []string{"b/", "c"}},
		{"", "b/", []string{"c"}},
		{"b/", "b/", []string{"b/1", "b/2/", "b/3"}},
		{"b/", "b/1", []string{"b/2/", "b/3"}},
		{"b/", "b/2/", []string{"b/3"}},
		{"b/", "b/3", nil},
		{"b/", "a0", []string{"b/1", "b/2/", "b/3"}},
	} {
		page := b.list(s3backend.ListRequest{Prefix: c.prefix, StartAfter: c.after, Delimiter: "/"})
		b.sameStrings(fmt.Sprintf("below %q after %q", c.prefix, c.after), b.listed(page), c.want)
	}
}

// testListProbe is how a lone name is looked up: is it a file, a directory, or
// both?
func testListProbe(b *bench) {
	b.putAll("both", "both/x", "both!", "dir/x", "dir!", "file", "file!")
	for _, c := range []struct {
		prefix string
		want   []string
	}{
		{"file", []string{"file", "file!"}},
		{"dir/", []string{"dir/x"}},
		{"both", []string{"both", "both!"}},
		{"both/", []string{"both/x"}},
	} {
		page := b.list(s3backend.ListRequest{Prefix: c.prefix, Delimiter: "/", MaxKeys: 2})
		b.sameStrings(fmt.Sprintf("probe of %q", c.prefix), b.listed(page), c.want)
	}
}

func testListOddPrefixes(b *bench) {
	var names []string
	for _, n := range oddNames {
		if n = strings.TrimSuffix(n, "/"); n != "" && !slices.Contains(names, n+"/in") {
			names = append(names, n+"/in")
		}
	}
	b.putAll(names...)
	for _, n := range names {
		dir := strings.TrimSuffix(n, "in")
		page := b.list(s3backend.ListRequest{Prefix: dir, Delimiter: "/"})
		if !slices.Contains(keysOf(page.Objects), b.key(n)) {
			b.Errorf("List below %q lacks %q: %q", dir, n, b.listed(page))
		}
		// The directory's own name, without what else begins like it.
		page = b.list(s3backend.ListRequest{Prefix: strings.TrimSuffix(dir, "/"), Delimiter: "/"})
		if !strings.Contains(dir[:len(dir)-1], "/") && !slices.Contains(page.Prefixes, b.key(dir)) {
			b.Errorf("List of %q lacks the prefix %q: %q", strings.TrimSuffix(dir, "/"), dir, b.listed(page))
		}
	}
}

func testListSeesWrites(b *bench) {
	for i := range 20 {
		name := fmt.Sprintf("k%02d", i)
		b.put(b.key(name), nil)
		if got := b.listed(b.list(s3backend.ListRequest{Prefix: name})); len(got) != 1 {
			b.Errorf("List right after Put: %q", got)
		}
		b.ok(b.store.Delete(b.ctx, b.key(name)))
		if got := b.listed(b.list(s3backend.ListRequest{Prefix: name})); len(got) != 0 {
			b.Errorf("List right after Delete: %q", got)
		}
	}
}
