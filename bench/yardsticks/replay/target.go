package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// target is the API server of a kubeconfig's current context, and who we are there.
type target struct {
	server string
	token  string
	tls    *tls.Config
}

type kubeconfig struct {
	CurrentContext string `json:"current-context"`
	Contexts       []struct {
		Name    string                         `json:"name"`
		Context struct{ Cluster, User string } `json:"context"`
	} `json:"contexts"`
	Clusters []struct {
		Name    string `json:"name"`
		Cluster struct {
			Server     string `json:"server"`
			CA         string `json:"certificate-authority"`
			CAData     string `json:"certificate-authority-data"`
			Insecure   bool   `json:"insecure-skip-tls-verify"`
			ServerName string `json:"tls-server-name"`
		} `json:"cluster"`
	} `json:"clusters"`
	Users []struct {
		Name string `json:"name"`
		User struct {
			Token     string `json:"token"`
			TokenFile string `json:"tokenFile"`
			Cert      string `json:"client-certificate"`
			CertData  string `json:"client-certificate-data"`
			Key       string `json:"client-key"`
			KeyData   string `json:"client-key-data"`
		} `json:"user"`
	} `json:"users"`
}

// readTarget knows tokens and client certificates, in the file or beside it; no plugins.
func readTarget(path string) (*target, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var config kubeconfig
	if err := yaml.Unmarshal(text, &config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	load := func(data, name string) ([]byte, error) {
		if data != "" || name == "" {
			return base64.StdEncoding.DecodeString(data)
		}
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return os.ReadFile(name)
	}
	for _, c := range config.Contexts {
		if c.Name == config.CurrentContext {
			return config.targetOf(c.Context.Cluster, c.Context.User, load)
		}
	}
	return nil, fmt.Errorf("%s has no context %q", path, config.CurrentContext)
}

func (k *kubeconfig) targetOf(cluster, user string, load func(data, name string) ([]byte, error)) (*target, error) {
	t := &target{tls: &tls.Config{MinVersion: tls.VersionTLS12}}
	for _, c := range k.Clusters {
		if c.Name != cluster {
			continue
		}
		t.server = strings.TrimRight(c.Cluster.Server, "/")
		t.tls.InsecureSkipVerify = c.Cluster.Insecure
		t.tls.ServerName = c.Cluster.ServerName
		ca, err := load(c.Cluster.CAData, c.Cluster.CA)
		if err != nil {
			return nil, err
		}
		if len(ca) > 0 {
			t.tls.RootCAs = x509.NewCertPool()
			t.tls.RootCAs.AppendCertsFromPEM(ca)
		}
	}
	for _, u := range k.Users {
		if u.Name != user {
			continue
		}
		t.token = u.User.Token
		if u.User.TokenFile != "" {
			token, err := os.ReadFile(u.User.TokenFile)
			if err != nil {
				return nil, err
			}
			t.token = strings.TrimSpace(string(token))
		}
		cert, err := load(u.User.CertData, u.User.Cert)
		if err != nil {
			return nil, err
		}
		key, err := load(u.User.KeyData, u.User.Key)
		if err != nil {
			return nil, err
		}
		if len(cert) > 0 {
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				return nil, err
			}
			t.tls.Certificates = []tls.Certificate{pair}
		}
	}
	if t.server == "" {
		return nil, fmt.Errorf("the kubeconfig has no cluster %q", cluster)
	}
	return t, nil
}

// connect opens n connections: net/http keeps one HTTP/2 connection a transport.
func (t *target) connect(ctx context.Context, n int) ([]*http.Client, error) {
	clients := make([]*http.Client, n)
	for i := range clients {
		clients[i] = &http.Client{Transport: &http.Transport{
			TLSClientConfig:    t.tls.Clone(),
			ForceAttemptHTTP2:  true,
			DisableCompression: true,
		}}
		call, err := http.NewRequestWithContext(ctx, http.MethodGet, t.server+"/version", nil)
		if err != nil {
			return nil, err
		}
		response, err := clients[i].Do(call)
		if err != nil {
			return nil, err
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.ProtoMajor != 2 {
			return nil, fmt.Errorf("%s does not speak HTTP/2", t.server)
		}
	}
	return clients, nil
}
