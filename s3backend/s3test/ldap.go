package s3test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const ldapSecret = "of the directory"

// LDAPServer is a slapd on loopback, with users who have passwords.
type LDAPServer struct {
	t    testing.TB
	dir  string
	uri  string
	name string // of its log
}

// StartLDAP brings up an LDAP server with users of the given passwords, that is
// stopped when the test ends. Where slapd is not installed the test is skipped,
// or fails if RGWFS_REQUIRE_RGW is 1.
func StartLDAP(t testing.TB, passwords map[string]string) *LDAPServer {
	t.Helper()
	slapd, slapadd := program(t, "slapd"), program(t, "slapadd")
	s := &LDAPServer{t: t, dir: t.TempDir()}
	s.name = filepath.Join(s.dir, "log")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.uri = "ldap://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}

	config := "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\ninclude /etc/ldap/schema/inetorgperson.schema\n" +
		"modulepath /usr/lib/ldap\nmoduleload back_mdb\npidfile " + s.dir + "/pid\n" +
		"database mdb\nmaxsize 10485760\nsuffix dc=test\nrootdn cn=admin,dc=test\nrootpw \"" + ldapSecret + "\"\ndirectory " + s.dir + "/data\n"
	var people strings.Builder
	people.WriteString("dn: dc=test\nobjectClass: domain\ndc: test\n\ndn: ou=people,dc=test\nobjectClass: organizationalUnit\nou: people\n")
	for user, password := range passwords {
		fmt.Fprintf(&people, "\ndn: uid=%s,ou=people,dc=test\nobjectClass: inetOrgPerson\nuid: %[1]s\ncn: %[1]s\nsn: %[1]s\nuserPassword: %[2]s\n", user, password)
	}
	for name, text := range map[string]string{"slapd.conf": config, "people.ldif": people.String(), "secret": ldapSecret} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(s.dir, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(s.dir, "slapd.conf")
	if _, err := run(time.Minute, slapadd, "-f", conf, "-l", filepath.Join(s.dir, "people.ldif")); err != nil {
		t.Fatal(err)
	}

	log, err := os.Create(s.name)
	if err != nil {
		t.Fatal(err)
	}
	// -d keeps it in the foreground; 256 logs operations, without passwords.
	cmd := exec.Command(slapd, "-d", "256", "-f", conf, "-h", s.uri)
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("slapd: %v", err)
		}
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.uri, "ldap://"))
		if err == nil {
			_ = conn.Close() // nothing was said
			return s
		}
		if time.Now().After(deadline) {
			t.Fatalf("slapd does not serve: %v\n%s", err, s.log())
		}
	}
}

// program returns the path of a program of Debian's that a test needs.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		// Not in the PATH of users other than root.
		path = filepath.Join("/usr/sbin", name)
		if _, err := os.Stat(path); err != nil {
			Missing(t, name+" is not installed")
		}
	}
	return path
}

// Options are the settings for StartRGW that let these users in.
// (doc/radosgw/ldap-auth.rst)
func (s *LDAPServer) Options() []string {
	return []string{
		"rgw_s3_auth_use_ldap=true", "rgw_ldap_uri=" + s.uri, "rgw_ldap_binddn=cn=admin,dc=test",
		"rgw_ldap_secret=" + filepath.Join(s.dir, "secret"), "rgw_ldap_searchdn=ou=people,dc=test", "rgw_ldap_dnattr=uid",
	}
}

// Lookups returns how often a user was looked up.
func (s *LDAPServer) Lookups(user string) int {
	s.t.Helper()
	n := 0
	for lines := bufio.NewScanner(strings.NewReader(s.log())); lines.Scan(); {
		if strings.Contains(lines.Text(), "SRCH base=") && strings.Contains(lines.Text(), "(uid="+user+")") {
			n++
		}
	}
	return n
}

func (s *LDAPServer) log() string {
	s.t.Helper()
	data, err := os.ReadFile(s.name)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(data)
}
