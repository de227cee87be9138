package s3backend

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

var errXML = errors.New("malformed XML")

// leafFunc takes an element that ends: its name, the name of the element around
// it (nil if that is the document's), and the text directly in it.
type leafFunc func(parent, name, text []byte) error

// walk reads a whole document of the given root ("" = any) and hands the elements of the
// two levels below it to leaf. It knows the XML that S3 servers write: elements,
// attributes (which it skips), text, entities, CDATA, comments and processing
// instructions, but no document types. It takes control characters, which XML
// 1.0 does not have: RGW writes them where a key has them.
func walk(data []byte, root string, leaf leafFunc) error {
	s := scanner{rest: data}
	var open [][]byte  // names of the open elements
	var text [4][]byte // text directly in the open element of that depth
	seen := false
	for {
		tok, name, err := s.next()
		if err == io.EOF {
			if len(open) > 0 || !seen {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
		depth := len(open)
		switch tok {
		case tokenText:
			if depth == 2 || depth == 3 {
				text[depth] = append(text[depth], name...)
			}
		case tokenStart:
			if depth == 0 {
				if seen || root != "" && string(name) != root {
					return fmt.Errorf("a document of <%s>, want <%s>", name, root)
				}
				seen = true
			}
			open = append(open, name)
			if depth++; depth == 2 || depth == 3 {
				text[depth] = text[depth][:0]
			}
		case tokenEnd:
			if depth == 0 || !bytes.Equal(open[depth-1], name) {
				return fmt.Errorf("%w: </%s>", errXML, name)
			}
			switch depth {
			case 2:
				err = leaf(nil, name, text[2])
			case 3:
				err = leaf(open[1], name, text[3])
			}
			if err != nil {
				return err
			}
			open = open[:depth-1]
		}
	}
}

type token uint8

const (
	tokenStart token = iota
	tokenEnd
	tokenText
)

// scanner cuts a document into tokens. An element without content gives a start
// and an end.
type scanner struct {
	rest  []byte
	close []byte // the name of an element that the last token opened and closed
}

// next returns the next token: the local name of an element, or text with its
// entities resolved. The slice is valid until the document is.
func (s *scanner) next() (token, []byte, error) {
	if name := s.close; name != nil {
		s.close = nil
		return tokenEnd, name, nil
	}
	for len(s.rest) > 0 {
		if s.rest[0] != '<' {
			n := bytes.IndexByte(s.rest, '<')
			if n < 0 {
				n = len(s.rest)
			}
			raw := s.rest[:n]
			s.rest = s.rest[n:]
			text, err := resolve(raw)
			return tokenText, text, err
		}
		switch {
		case bytes.HasPrefix(s.rest, []byte("<?")):
			if _, err := s.skip("<?", "?>"); err != nil {
				return 0, nil, err
			}
		case bytes.HasPrefix(s.rest, []byte("<!--")):
			if _, err := s.skip("<!--", "-->"); err != nil {
				return 0, nil, err
			}
		case bytes.HasPrefix(s.rest, []byte("<![CDATA[")):
			raw, err := s.skip("<![CDATA[", "]]>")
			return tokenText, lineEnds(raw), err
		case bytes.HasPrefix(s.rest, []byte("<!")):
			return 0, nil, fmt.Errorf("%w: a declaration", errXML)
		default:
			return s.tag()
		}
	}
	return 0, nil, io.EOF
}

// skip passes over what begins with head (which is there) and ends with tail,
// and returns what is between.
func (s *scanner) skip(head, tail string) ([]byte, error) {
	body := s.rest[len(head):]
	n := bytes.Index(body, []byte(tail))
	if n < 0 {
		return nil, io.ErrUnexpectedEOF
	}
	s.rest = body[n+len(tail):]
	return body[:n], nil
}

func (s *scanner) tag() (token, []byte, error) {
	end, quote := -1, byte(0)
	for i := 1; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '<':
			return 0, nil, fmt.Errorf("%w: < in a tag", errXML)
		case c == '>':
			end = i
		}
		if end > 0 {
			break
		}
	}
	if end < 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	body := s.rest[1:end]
	s.rest = s.rest[end+1:]
	tok, empty := tokenStart, false
	if len(body) > 0 && body[0] == '/' {
		tok, body = tokenEnd, body[1:]
	} else if len(body) > 0 && body[len(body)-1] == '/' {
		empty, body = true, body[:len(body)-1]
	}
	for i, c := range body {
		if c <= ' ' { // attributes follow
			body = body[:i]
			break
		}
	}
	if n := bytes.IndexByte(body, ':'); n >= 0 { // a namespace
		body = body[n+1:]
	}
	if len(body) == 0 {
		return 0, nil, fmt.Errorf("%w: a tag without a name", errXML)
	}
	if empty {
		s.close = body
	}
	return tok, body, nil
}

// resolve replaces the entities of a text. Most texts have none.
func resolve(raw []byte) ([]byte, error) {
	if bytes.IndexByte(raw, '&') < 0 {
		return lineEnds(raw), nil
	}
	out := make([]byte, 0, len(raw))
	for {
		n := bytes.IndexByte(raw, '&')
		if n < 0 {
			return append(out, lineEnds(raw)...), nil
		}
		out = append(out, lineEnds(raw[:n])...)
		raw = raw[n+1:]
		end := bytes.IndexByte(raw, ';')
		if end < 0 {
			return nil, fmt.Errorf("%w: an entity without an end", errXML)
		}
		r, err := entity(string(raw[:end]))
		if err != nil {
			return nil, err
		}
		out = utf8.AppendRune(out, r)
		raw = raw[end+1:]
	}
}

func entity(name string) (rune, error) {
	switch name {
	case "amp":
		return '&', nil
	case "lt":
		return '<', nil
	case "gt":
		return '>', nil
	case "quot":
		return '"', nil
	case "apos":
		return '\'', nil
	}
	digits, ok := strings.CutPrefix(name, "#")
	base := 10
	if hex, isHex := strings.CutPrefix(digits, "x"); isHex {
		digits, base = hex, 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if !ok || err != nil || n > utf8.MaxRune || !utf8.ValidRune(rune(n)) {
		return 0, fmt.Errorf("%w: the entity &%s;", errXML, name)
	}
	return rune(n), nil
}

// lineEnds makes every line end a line feed (XML 1.0, 2.11).
func lineEnds(raw []byte) []byte {
	if bytes.IndexByte(raw, '\r') < 0 {
		return raw
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(raw, []byte("\r"), []byte("\n"))
}
