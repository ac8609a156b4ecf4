package config_test

import (
	"bytes"
	"encoding/xml"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

const composeFile = "../docker-compose.yml"

type compose struct {
	Services map[string]service `yaml:"services"`
	Volumes  map[string]any     `yaml:"volumes"`
}

type service struct {
	Image       string            `yaml:"image"`
	Build       build             `yaml:"build"`
	Command     []string          `yaml:"command"`
	Environment map[string]string `yaml:"environment"`
	Expose      []string          `yaml:"expose"`
	Ports       []string          `yaml:"ports"`
	Volumes     []string          `yaml:"volumes"`
	DependsOn   map[string]struct {
		Condition string `yaml:"condition"`
	} `yaml:"depends_on"`
	Healthcheck map[string]any `yaml:"healthcheck"`
	Restart     string         `yaml:"restart"`
}

type build struct {
	Dockerfile string            `yaml:"dockerfile"`
	Args       map[string]string `yaml:"args"`
}

// listens reports whether other services can reach the service at port.
func (s service) listens(port string) bool {
	published := func(p string) bool { return strings.HasSuffix(p, ":"+port) }
	return slices.Contains(s.Expose, port) || slices.ContainsFunc(s.Ports, published)
}

func TestComposeFollowsTheSpecification(t *testing.T) {
	data, err := os.ReadFile("testdata/compose-spec.json")
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("compose-spec.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("compose-spec.json")
	if err != nil {
		t.Fatal(err)
	}
	var file any
	load(t, composeFile, &file)
	if err := schema.Validate(file); err != nil {
		t.Errorf("%#v", err)
	}
}

// A version that is not written down is another one tomorrow.
func TestComposePinsEveryVersion(t *testing.T) {
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:(v?\d+\.\d+\.\d+(\.\d+)?|[a-z]+-\d{8}|\d+\.\d+\.\d+-[a-z]+)(-[a-z]+)?$`)
	for name, s := range composeOf(t).Services {
		if !pinned.MatchString(s.Image) {
			t.Errorf("%s: the image %q has no exact version", name, s.Image)
		}
		for plugin := range strings.SplitSeq(s.Environment["GF_PLUGINS_PREINSTALL_SYNC"], ",") {
			if plugin != "" && !regexp.MustCompile(`^[a-z-]+@\d+\.\d+\.\d+$`).MatchString(plugin) {
				t.Errorf("%s: the plugin %q has no exact version", name, plugin)
			}
		}
		if dockerfile := s.Build.Dockerfile; dockerfile != "" {
			from := regexp.MustCompile(`(?m)^FROM (\S+)`).FindAllStringSubmatch(read(t, "../"+dockerfile), -1)
			for _, image := range from {
				if !pinned.MatchString(image[1]) {
					t.Errorf("%s: the base image %q has no exact version", dockerfile, image[1])
				}
			}
		}
	}
}

func TestDockerfileBuildsWithTheGoVersionOfTheModule(t *testing.T) {
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))
	image := regexp.MustCompile(`(?m)^FROM golang:(\d+\.\d+)`).FindStringSubmatch(read(t, "../connector/Dockerfile"))
	if module == nil || image == nil || module[1] != image[1] {
		t.Errorf("go.mod is for %q, connector/Dockerfile builds with %q", module, image)
	}
}

// The image tells its version and finds its configuration, where compose mounts it.
func TestComposeFitsTheDockerfile(t *testing.T) {
	s := composeOf(t).Services["connector"]
	file := read(t, "../"+s.Build.Dockerfile)
	for name := range s.Build.Args {
		if !regexp.MustCompile(`(?m)^ARG `+name+`=`).MatchString(file) || !strings.Contains(file, "${"+name+"}") {
			t.Errorf("%s does not use the argument %s", s.Build.Dockerfile, name)
		}
	}
	if !strings.Contains(file, "-X main.release=${RELEASE}") || s.Build.Args["RELEASE"] == "" {
		t.Error("the connector of the image does not know its version")
	}
	path := regexp.MustCompile(`(?m)^ENV CONFIG=(\S+)$`).FindStringSubmatch(file)
	if path == nil || !slices.Contains(s.Volumes, "./config/compose.yaml:"+path[1]+":ro") {
		t.Errorf("the image looks for its configuration at %q, and %q are mounted", path, s.Volumes)
	}
}

func TestComposePublishesOnLoopbackOnly(t *testing.T) {
	taken := map[string]string{}
	for name, s := range composeOf(t).Services {
		for _, published := range s.Ports {
			parts := strings.Split(published, ":")
			if len(parts) != 3 || parts[0] != "127.0.0.1" {
				t.Errorf("%s: the port %q is open beyond this machine; write 127.0.0.1:host:container", name, published)
				continue
			}
			if other, ok := taken[parts[1]]; ok {
				t.Errorf("%s and %s both publish port %s", name, other, parts[1])
			}
			taken[parts[1]] = name
		}
	}
}

func TestComposeMountsExist(t *testing.T) {
	c := composeOf(t)
	for name, s := range c.Services {
		for _, mount := range s.Volumes {
			source, _, _ := strings.Cut(mount, ":")
			if !strings.HasPrefix(source, ".") {
				if _, ok := c.Volumes[source]; !ok {
					t.Errorf("%s: the volume %q is not declared", name, source)
				}
				continue
			}
			if _, err := os.Stat(filepath.Join("..", source)); err != nil {
				t.Errorf("%s: docker would create an empty directory: %v", name, err)
			}
			if !strings.HasSuffix(mount, ":ro") {
				t.Errorf("%s: %q is mounted writable", name, mount)
			}
		}
	}
}

func TestComposeServicesWaitForEachOther(t *testing.T) {
	c := composeOf(t)
	for name, s := range c.Services {
		if s.Restart != "unless-stopped" || s.Healthcheck["test"] == nil {
			t.Errorf("%s needs restart: unless-stopped and a health check", name)
		}
		for other, dependency := range s.DependsOn {
			if dependency.Condition != "service_healthy" || c.Services[other].Healthcheck == nil {
				t.Errorf("%s must wait until %s is healthy", name, other)
			}
		}
	}
}

// Compose refuses to start without the secrets, and says which one is missing.
func TestComposeAsksForSecrets(t *testing.T) {
	secret := regexp.MustCompile(`PASSWORD|SECRET`)
	required := regexp.MustCompile(`^\$\{[A-Z_]+:\?set it to .+\}$`)
	for name, s := range composeOf(t).Services {
		for variable, value := range s.Environment {
			if secret.MatchString(variable) && !required.MatchString(value) {
				t.Errorf("%s: write %s: ${NAME:?set it to …}", name, variable)
			}
		}
	}
}

// Whatever address, user or variable the mounted configurations name, the
// services offer.
func TestComposeMatchesConfigurations(t *testing.T) {
	c := composeOf(t)
	for _, file := range []struct{ path, service string }{
		{"compose.yaml", "connector"},
		{"../dashboards/prometheus.yml", "prometheus"},
		{"../dashboards/provisioning/datasources/datasources.yaml", "grafana"},
	} {
		t.Run(filepath.Base(file.path), func(t *testing.T) {
			var document yaml.Node
			load(t, file.path, &document)
			check := settings{t: t, compose: c, self: c.Services[file.service], users: clickHouseUsers(t)}
			check.node(file.path, "", &document)
		})
	}
}

// settings checks the values of one mounted configuration.
type settings struct {
	t       *testing.T
	compose compose
	self    service
	users   []string
}

func (s settings) node(path, key string, node *yaml.Node) {
	switch node.Kind {
	case yaml.MappingNode:
		s.hostAndPort(path, node)
		for i := 0; i+1 < len(node.Content); i += 2 {
			name := node.Content[i].Value
			s.node(path+"."+name, name, node.Content[i+1])
		}
	case yaml.ScalarNode:
		for value := range strings.SplitSeq(node.Value, ",") {
			s.value(path, key, strings.TrimSpace(value))
		}
	default:
		for _, child := range node.Content {
			s.node(path, key, child)
		}
	}
}

// hostAndPort joins the two keys of a Grafana data source into one address.
func (s settings) hostAndPort(path string, node *yaml.Node) {
	found := map[string]string{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		found[node.Content[i].Value] = node.Content[i+1].Value
	}
	if found["host"] != "" && found["port"] != "" {
		s.value(path, "", found["host"]+":"+found["port"])
	}
}

var (
	address          = regexp.MustCompile(`^(?:https?://)?([A-Za-z0-9.-]*:\d+)$`)
	requiredVariable = regexp.MustCompile(`\$(?:\{([A-Z_]+)\}|([A-Z_]+)$)`)
)

func (s settings) value(path, key, value string) {
	s.t.Helper()
	for _, variable := range requiredVariable.FindAllStringSubmatch(value, -1) {
		name := variable[1] + variable[2]
		if _, ok := s.self.Environment[name]; !ok {
			s.t.Errorf("%s: the service's environment has no %s", path, name)
		}
	}
	if match := address.FindStringSubmatch(value); match != nil {
		s.address(path, match[1])
	}
	switch key {
	case "username":
		if value != "" && !slices.Contains(s.users, value) {
			s.t.Errorf("%s: clickhouse-users.xml has no user %q", path, value)
		}
	case "replication_factor", "min_insync_replicas":
		if n, err := strconv.Atoi(value); err != nil || n != 1 {
			s.t.Errorf("%s: is %s, but there is one broker", path, value)
		}
	}
}

func (s settings) address(path, value string) {
	s.t.Helper()
	host, port, err := net.SplitHostPort(value)
	if err != nil {
		s.t.Errorf("%s: %v", path, err)
		return
	}
	switch target, ok := s.compose.Services[host]; {
	case ok && !target.listens(port):
		s.t.Errorf("%s: the service %s does not listen on %s", path, host, port)
	case ok:
	case host == "" || host == "0.0.0.0":
		if !s.self.listens(port) {
			s.t.Errorf("%s: docker-compose.yml does not publish port %s", path, port)
		}
	default:
		s.t.Errorf("%s: nothing reaches %s from inside or outside of a container", path, value)
	}
}

// clickHouseUsers returns the users that clickhouse-users.xml adds.
func clickHouseUsers(t *testing.T) []string {
	t.Helper()
	var file struct {
		Users struct {
			All []struct {
				XMLName xml.Name
				Remove  string `xml:"remove,attr"`
				Secret  struct {
					FromEnv string `xml:"from_env,attr"`
				} `xml:"password"`
			} `xml:",any"`
		} `xml:"users"`
	}
	if err := xml.Unmarshal([]byte(read(t, "clickhouse-users.xml")), &file); err != nil {
		t.Fatal(err)
	}
	environment := composeOf(t).Services["clickhouse"].Environment
	var names []string
	for _, user := range file.Users.All {
		if user.Remove != "" {
			continue
		}
		names = append(names, user.XMLName.Local)
		if _, ok := environment[user.Secret.FromEnv]; !ok {
			t.Errorf("the user %s has no password: the environment of clickhouse has no %q", user.XMLName.Local, user.Secret.FromEnv)
		}
	}
	return names
}

func composeOf(t *testing.T) compose {
	t.Helper()
	var c compose
	load(t, composeFile, &c)
	if len(c.Services) == 0 {
		t.Fatal("docker-compose.yml has no services")
	}
	return c
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	if err := yaml.Load([]byte(read(t, name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
