package s3backend

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// CredentialsError says that no credentials could be had: none are configured,
// or their source (a profile's command, a web identity) failed.
type CredentialsError struct{ Err error }

func (e *CredentialsError) Error() string { return "no credentials: " + e.Err.Error() }

func (e *CredentialsError) Unwrap() error { return e.Err }

// UnusableError says that there are credentials, but they can't be used as they
// are; its text names the mend.
type UnusableError struct{ Err error }

func (e *UnusableError) Error() string { return "unusable credentials: " + e.Err.Error() }

func (e *UnusableError) Unwrap() error { return e.Err }

// credentials returns the source of credentials that the Config asks for: none,
// those in it, a file, else the SDK's chain. The chain is extended by access keys with an
// empty secret, which the SDK takes for no key at all: with LDAP, RGW reads
// user and password from the access key and never looks at the signature.
func (cl *Client) credentials(ctx context.Context) (aws.CredentialsProvider, error) {
	cfg := &cl.cfg
	if cfg.NoSignRequest {
		return aws.AnonymousCredentials{}, nil
	}
	if cfg.AccessKey != "" {
		return fixed(aws.Credentials{
			AccessKeyID:     string(cfg.AccessKey),
			SecretAccessKey: string(cfg.SecretKey),
			SessionToken:    string(cfg.SessionToken),
			Source:          "rgwfs Config",
		}), nil
	}
	if cfg.CredentialsFile != "" {
		c, err := fileCredentials(cfg.CredentialsFile, cfg.CredentialsSection, cfg.CredentialsBucket)
		if err != nil {
			return nil, &UnusableError{err}
		}
		return fixed(c), nil
	}

	env, err := awsconfig.NewEnvConfig()
	if err != nil {
		return nil, &CredentialsError{fmt.Errorf("the AWS environment variables: %w", err)}
	}
	// The order is the SDK's: a profile asked for by argument, the environment,
	// the profile of the environment or the default one.
	if cfg.Profile == "" && !env.Credentials.HasKeys() {
		if key := os.Getenv("AWS_ACCESS_KEY_ID"); key != "" && os.Getenv("AWS_SECRET_ACCESS_KEY") == "" {
			return fixed(aws.Credentials{
				AccessKeyID:  key,
				SessionToken: os.Getenv("AWS_SESSION_TOKEN"),
				Source:       "environment",
			}), nil
		}
	}
	if cfg.Profile != "" || !env.Credentials.HasKeys() {
		key, token, err := keyWithoutSecret(ctx, env, cfg.Profile)
		if err != nil {
			return nil, &CredentialsError{err}
		}
		if key != "" {
			return fixed(aws.Credentials{AccessKeyID: key, SessionToken: token, Source: "profile"}), nil
		}
	}

	// The chain's own requests (SSO) go through the SDK's HTTP client: ours
	// carries what only RGW needs. Web identities are RGW's own business. EC2's instance metadata is left out: off
	// EC2 it answers by a timeout of several seconds, and no RGW takes its keys.
	opts := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion(cfg.Region),
		awsconfig.WithEC2IMDSClientEnableState(imds.ClientDisabled),
		awsconfig.WithCredentialsCacheOptions(func(o *aws.CredentialsCacheOptions) {
			o.ExpiryWindow, o.ExpiryWindowJitterFrac = sessionMargin, 0.5
		}),
	}
	endpoint, err := stsEndpoint(ctx, cfg, env)
	if err != nil {
		return nil, &CredentialsError{err}
	}
	if endpoint != "" {
		opts = append(opts, awsconfig.WithWebIdentityRoleCredentialOptions(func(o *stscreds.WebIdentityRoleOptions) {
			o.Client = cl.newSTS(endpoint, aws.AnonymousCredentials{})
		}))
	}
	if cfg.Profile != "" {
		opts = append(opts, awsconfig.WithSharedConfigProfile(cfg.Profile))
	}
	chain, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err != nil {
		return nil, &CredentialsError{err}
	}
	return failing{chain.Credentials}, nil
}

// provider returns what signs the requests of c: its credentials, or temporary
// keys in exchange for them. It makes sure that there are credentials.
func (cl *Client) provider(ctx context.Context) (aws.CredentialsProvider, error) {
	provider, err := cl.credentials(ctx)
	if err != nil || cl.cfg.NoSignRequest {
		return provider, err
	}
	cache := aws.NewCredentialsCache(carriable{provider})
	c, err := cache.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	if strings.Contains(c.AccessKeyID, "/") {
		switch {
		case cl.cfg.ExchangeToken:
			return nil, &UnusableError{errors.New("the token has a slash in its base64, which STS can't take: drop --exchange-token")}
		case cl.cfg.Signature == SignatureV4 || cl.cfg.Signature == SignatureHybrid:
			return nil, &UnusableError{fmt.Errorf("--signature=%s: %w", cl.cfg.Signature, ErrSlashInKey)}
		}
	}
	if cl.cfg.ExchangeToken {
		return aws.NewCredentialsCache(&sessions{client: cl.newSTS(cl.cfg.Endpoint, cache)}), nil
	}
	return cache, nil
}

func fixed(c aws.Credentials) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return c, nil })
}

// failing marks the errors of a provider as CredentialsError.
type failing struct{ aws.CredentialsProvider }

func (f failing) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := f.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return c, &CredentialsError{err}
	}
	return c, nil
}

// keyWithoutSecret looks in a profile for an access key whose secret is empty (if
// the line is missing altogether, the SDK refuses the profile). It returns "" if the profile has a secret, or credentials of
// another sort, or does not exist: all that is the SDK's to handle.
func keyWithoutSecret(ctx context.Context, env awsconfig.EnvConfig, profile string) (key, token string, err error) {
	shared, name, err := loadProfile(ctx, env, profile)
	if err != nil {
		return "", "", err
	}
	if shared.Credentials.HasKeys() || shared.RoleARN != "" || shared.CredentialProcess != "" ||
		shared.SSOSessionName != "" || shared.SSOStartURL != "" || shared.WebIdentityTokenFile != "" {
		return "", "", nil
	}
	files := []struct {
		path     string
		sections []string
	}{
		// Later ones win, as in the SDK: the credentials file.
		{orDefault(env.SharedConfigFile, awsconfig.DefaultSharedConfigFilename()), []string{"profile " + name, name}},
		{orDefault(env.SharedCredentialsFile, awsconfig.DefaultSharedCredentialsFilename()), []string{name}},
	}
	for _, f := range files {
		values, err := iniSection(f.path, f.sections)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		if values["aws_secret_access_key"] != "" {
			return "", "", nil
		}
		if k := values["aws_access_key_id"]; k != "" {
			key, token = k, values["aws_session_token"]
		}
	}
	return key, token, nil
}

func orDefault(s, def string) string {
	if s != "" {
		return s
	}
	return def
}

// iniSection returns the top-level keys (in lower case) of the named sections
// of an AWS configuration file. It reads only what keyWithoutSecret needs.
func iniSection(path string, names []string) (map[string]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	values := map[string]string{}
	in := false
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case trimmed[0] == '[':
			header, _, _ := strings.Cut(trimmed[1:], "]")
			header = strings.Join(strings.Fields(header), " ")
			in = false
			for _, n := range names {
				in = in || header == n
			}
		case in && line[0] != ' ' && line[0] != '\t': // indented lines are nested values
			k, v, ok := strings.Cut(trimmed, "=")
			if ok {
				values[strings.ToLower(strings.TrimSpace(k))] = strings.TrimSpace(v)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return values, nil
}
