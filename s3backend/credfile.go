package s3backend

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// maxPrivateFile is far above what a file of credentials or keys needs, in bytes.
const maxPrivateFile = 1 << 20

// readPrivate returns the content of a file that holds secrets. As ssh does with
// its keys, it refuses a file of the caller's own that others may read; what
// belongs to somebody else is their affair.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory", path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Getuid() && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s holds secrets but others may read or change it (mode %04o): chmod 600 %s", path, info.Mode().Perm(), path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPrivateFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxPrivateFile {
		return nil, fmt.Errorf("%s has more than %d bytes: it is no file of credentials", path, maxPrivateFile)
	}
	return data, nil
}

// fileCredentials reads a file of credentials in the form of the AWS tools, of
// s3cmd (~/.s3cfg), of rclone (rclone.conf), or of s3fs (passwd-s3fs). section
// chooses one of several in the first three; bucket, one of several lines in the
// last. An error names the file, never what it holds.
func fileCredentials(path, section, bucket string) (aws.Credentials, error) {
	data, err := readPrivate(path)
	if err != nil {
		return aws.Credentials{}, err
	}
	if bytes.Contains(data, []byte("RCLONE_ENCRYPT_V0")) {
		return aws.Credentials{}, fmt.Errorf("%s is encrypted by rclone: write the keys into a file of their own", path)
	}
	sections, err := iniSections(data)
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("%s: %w", path, err)
	}
	var c aws.Credentials
	if sections != nil {
		c, err = chooseSection(sections, section)
	} else {
		c, err = choosePasswdLine(data, bucket)
	}
	if err != nil {
		return aws.Credentials{}, fmt.Errorf("%s: %w", path, err)
	}
	c.Source = "credentials file"
	return c, nil
}

// iniNames maps the names that programs have for the parts of credentials.
var iniNames = map[string]func(*aws.Credentials) *string{
	"aws_access_key_id": accessKeyOf, "access_key": accessKeyOf, "access_key_id": accessKeyOf, "awsaccesskeyid": accessKeyOf,
	"aws_secret_access_key": secretKeyOf, "secret_key": secretKeyOf, "secret_access_key": secretKeyOf, "awssecretkey": secretKeyOf,
	"aws_session_token": sessionTokenOf, "access_token": sessionTokenOf, "session_token": sessionTokenOf,
}

func accessKeyOf(c *aws.Credentials) *string    { return &c.AccessKeyID }
func secretKeyOf(c *aws.Credentials) *string    { return &c.SecretAccessKey }
func sessionTokenOf(c *aws.Credentials) *string { return &c.SessionToken }

// iniSections returns the sections of a file that have an access key, nil if it
// is of another form. Lines before the first section belong to "default".
func iniSections(data []byte) (map[string]aws.Credentials, error) {
	sections := map[string]aws.Credentials{}
	name, isINI := "default", false
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxPrivateFile+1)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		if line[0] == '[' {
			header, _, ok := strings.Cut(line[1:], "]")
			if !ok {
				return nil, errors.New("a section's name has no end")
			}
			name, isINI = strings.TrimSpace(strings.TrimPrefix(header, "profile ")), true
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		part, known := iniNames[strings.ToLower(strings.TrimSpace(key))]
		if !known {
			continue
		}
		isINI = true
		c := sections[name]
		*part(&c) = strings.TrimSpace(value)
		sections[name] = c
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if !isINI {
		return nil, nil
	}
	maps.DeleteFunc(sections, func(_ string, c aws.Credentials) bool { return c.AccessKeyID == "" })
	return sections, nil
}

func chooseSection(sections map[string]aws.Credentials, name string) (aws.Credentials, error) {
	if len(sections) == 0 {
		return aws.Credentials{}, errors.New("no access key in it")
	}
	names := strings.Join(slices.Sorted(maps.Keys(sections)), ", ")
	if name != "" {
		if c, ok := sections[name]; ok {
			return c, nil
		}
		return aws.Credentials{}, fmt.Errorf("no section %s with an access key: it has %s", name, names)
	}
	if len(sections) == 1 {
		for _, c := range sections {
			return c, nil
		}
	}
	if c, ok := sections["default"]; ok {
		return c, nil
	}
	return aws.Credentials{}, fmt.Errorf("keys in several sections: choose one by --credentials-section, of %s", names)
}

// choosePasswdLine reads the file of s3fs: lines of ACCESSKEY:SECRETKEY or
// BUCKET:ACCESSKEY:SECRETKEY, the latter for that bucket only. A line without a
// colon is an access key, or a token, without a secret.
// (s3fs_cred.cpp, S3fsCred::ReadS3fsPasswdFile)
func choosePasswdLine(data []byte, bucket string) (aws.Credentials, error) {
	var general, own []aws.Credentials
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxPrivateFile+1)
	others := 0
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		first, last := strings.Index(line, ":"), strings.LastIndex(line, ":")
		c := aws.Credentials{AccessKeyID: line}
		of := ""
		if first >= 0 {
			c.SecretAccessKey = line[last+1:]
			c.AccessKeyID = line[:last]
			if first != last {
				of, c.AccessKeyID = line[:first], line[first+1:last]
			}
		}
		switch {
		case c.AccessKeyID == "" || strings.ContainsAny(c.AccessKeyID, ": \t"):
			return aws.Credentials{}, fmt.Errorf("line %d is not ACCESSKEY:SECRETKEY or BUCKET:ACCESSKEY:SECRETKEY", n)
		case of == "" && first != last:
			return aws.Credentials{}, fmt.Errorf("line %d has no bucket before its first colon", n)
		case of == "":
			general = append(general, c)
		case of == bucket && bucket != "":
			own = append(own, c)
		default:
			others++
		}
	}
	if err := lines.Err(); err != nil {
		return aws.Credentials{}, err
	}
	fitting := own
	if len(fitting) == 0 {
		fitting = general
	}
	switch {
	case len(fitting) == 1:
		return fitting[0], nil
	case len(fitting) > 1:
		return aws.Credentials{}, errors.New("several lines fit: leave one of them")
	case others > 0:
		return aws.Credentials{}, errors.New("its lines are for other buckets")
	}
	return aws.Credentials{}, errors.New("no access key in it")
}
