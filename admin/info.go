package admin

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"syscall"
	"time"

	peersync "github.com/peersd/peersd/sync"
)

// An infoField is a line of `show info`: HAProxy's name, number, tags and type of
// it. What there is no such thing of here has no value, and reads 0.
type infoField struct {
	number int
	name   string
	tags   string // a letter each for its origin, its nature and its scope
	kind   string // str, u32 or u64
	value  func(*process) any
	help   string
}

// A process is what the fields are read from.
type process struct {
	*Server
	now         time.Time
	peers       []peersync.PeerStatus
	established int
	sessions    uint64
	files       uint64 // that it may have open
}

func (s *Server) process() *process {
	p := &process{Server: s, now: time.Now(), peers: s.Hub.Status()}
	for i := range p.peers {
		p.sessions += p.peers[i].Sessions
		if p.peers[i].Established {
			p.established++
		}
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		p.files = limit.Cur
	}
	return p
}

var infoFields = []infoField{
	{0, "Name", "POS", "str", func(*process) any { return "peersd" }, "what this is"},
	{1, "Version", "POS", "str", func(p *process) any { return p.Version }, "its version"},
	{2, "Release_date", "POS", "str", func(*process) any { return releaseDate() }, "when it was committed"},
	{3, "Nbthread", "CGS", "u32", func(*process) any { return runtime.GOMAXPROCS(0) }, "threads that run at once"},
	{4, "Nbproc", "CGS", "u32", func(*process) any { return 1 }, "processes"},
	{5, "Process_num", "KGP", "u32", func(*process) any { return 1 }, "number of this one"},
	{6, "Pid", "SGP", "u32", func(*process) any { return os.Getpid() }, "its id"},
	{7, "Uptime", "MDP", "str", func(p *process) any { return uptime(p.now.Sub(p.Started)) }, "time since its start"},
	{8, "Uptime_sec", "MDP", "u32", func(p *process) any { return int64(p.now.Sub(p.Started).Seconds()) }, "the same in seconds"},
	{9, "Memmax_MB", "CLP", "u32", func(p *process) any { return p.Tables.MemoryLimit() >> 20 }, "limit of the memory of all tables"},
	{10, "PoolAlloc_MB", "MGP", "u32", func(*process) any { return mapped() >> 20 }, "memory of the process"},
	{11, "PoolUsed_MB", "MGP", "u32", func(p *process) any { return p.Tables.Memory() >> 20 }, "memory of all tables"},
	{12, "PoolFailed", "MCP", "u32", nil, "nothing here"},
	{13, "Ulimit-n", "CLP", "u32", func(p *process) any { return p.files }, "files and connections that may be open"},
	{14, "Maxsock", "CLP", "u32", func(p *process) any { return p.files }, "the same"},
	{15, "Maxconn", "CLP", "u32", func(p *process) any { return p.files }, "the same"},
	{16, "Hard_maxconn", "CLP", "u32", func(p *process) any { return p.files }, "the same"},
	{17, "CurrConns", "MGP", "u32", func(p *process) any { return p.established }, "sessions with peers"},
	{18, "CumConns", "MCP", "u32", func(p *process) any { return p.sessions }, "sessions with peers since the start"},
	{19, "CumReq", "MCP", "u32", func(p *process) any { return p.sessions }, "the same"},
	{20, "MaxSslConns", "MMP", "u32", nil, "nothing here"},
	{21, "CurrSslConns", "MGP", "u32", nil, "nothing here"},
	{22, "CumSslConns", "MCP", "u32", nil, "nothing here"},
	{23, "Maxpipes", "CLP", "u32", nil, "nothing here"},
	{24, "PipesUsed", "MGP", "u32", nil, "nothing here"},
	{25, "PipesFree", "MGP", "u32", nil, "nothing here"},
	{26, "ConnRate", "MRP", "u32", nil, "nothing here"},
	{27, "ConnRateLimit", "CLP", "u32", nil, "nothing here"},
	{28, "MaxConnRate", "MMP", "u32", nil, "nothing here"},
	{29, "SessRate", "MRP", "u32", nil, "nothing here"},
	{30, "SessRateLimit", "CLP", "u32", nil, "nothing here"},
	{31, "MaxSessRate", "MRP", "u32", nil, "nothing here"},
	{32, "SslRate", "MRP", "u32", nil, "nothing here"},
	{33, "SslRateLimit", "CLP", "u32", nil, "nothing here"},
	{34, "MaxSslRate", "MMP", "u32", nil, "nothing here"},
	{35, "SslFrontendKeyRate", "MGP", "u32", nil, "nothing here"},
	{36, "SslFrontendMaxKeyRate", "MMP", "u32", nil, "nothing here"},
	{37, "SslFrontendSessionReuse_pct", "MGP", "u32", nil, "nothing here"},
	{38, "SslBackendKeyRate", "MRP", "u32", nil, "nothing here"},
	{39, "SslBackendMaxKeyRate", "MMP", "u32", nil, "nothing here"},
	{40, "SslCacheLookups", "MCP", "u32", nil, "nothing here"},
	{41, "SslCacheMisses", "MCP", "u32", nil, "nothing here"},
	{42, "CompressBpsIn", "MRP", "u32", nil, "nothing here"},
	{43, "CompressBpsOut", "MRP", "u32", nil, "nothing here"},
	{44, "CompressBpsRateLim", "CLP", "u32", nil, "nothing here"},
	{47, "Tasks", "MGP", "u32", func(*process) any { return runtime.NumGoroutine() }, "goroutines"},
	{48, "Run_queue", "MGP", "u32", nil, "nothing here"},
	{49, "Idle_pct", "MaP", "u32", nil, "nothing here"},
	{50, "node", "COS", "str", func(*process) any { return hostname() }, "name of the host"},
	{52, "Stopping", "MGP", "u32", nil, "nothing here"},
	{53, "Jobs", "MGP", "u32", func(p *process) any { return p.established + len(p.listeners) + len(p.Hub.Listening()) }, "sessions and listeners"},
	{54, "Unstoppable Jobs", "MGP", "u32", nil, "nothing here"},
	{55, "Listeners", "MGP", "u32", func(p *process) any { return len(p.listeners) + len(p.Hub.Listening()) }, "addresses that are listened on"},
	{56, "ActivePeers", "MGP", "u32", func(p *process) any { return p.established }, "sessions with peers"},
	{57, "ConnectedPeers", "MGP", "u32", func(p *process) any { return p.established }, "the same"},
	{58, "DroppedLogs", "MGP", "u32", nil, "nothing here"},
	{59, "BusyPolling", "MGP", "u32", nil, "nothing here"},
	{60, "FailedResolutions", "MGP", "u32", nil, "nothing here"},
	{61, "TotalBytesOut", "MGP", "u64", nil, "nothing here"},
	{62, "TotalSplicedBytesOut", "MGP", "u64", nil, "nothing here"},
	{63, "BytesOutRate", "MRP", "u64", nil, "nothing here"},
	{64, "DebugCommandsIssued", "MGP", "u32", nil, "nothing here"},
	{65, "CumRecvLogs", "MCP", "u32", nil, "nothing here"},
	{66, "Build info", "POS", "str", func(p *process) any { return p.Version + " " + runtime.Version() }, "version, and that of Go"},
	{67, "Memmax_bytes", "CLP", "u32", func(p *process) any { return p.Tables.MemoryLimit() }, "limit of the memory of all tables"},
	{68, "PoolAlloc_bytes", "MGP", "u64", func(*process) any { return mapped() }, "memory of the process"},
	{69, "PoolUsed_bytes", "MGP", "u64", func(p *process) any { return p.Tables.Memory() }, "memory of all tables"},
	{70, "Start_time_sec", "MDP", "u32", func(p *process) any { return p.Started.Unix() }, "when it was started, in seconds since 1970"},
	{71, "Tainted", "SGP", "str", func(*process) any { return "0" }, "nothing here"},
	{72, "TotalWarnings", "MCP", "u32", nil, "nothing here"},
	{73, "MaxconnReached", "MCP", "u32", nil, "nothing here"},
	{74, "BootTime_ms", "MDP", "u32", nil, "nothing here"},
	{75, "Niced_tasks", "MGP", "u32", nil, "nothing here"},
	{76, "CurrStreams", "MGP", "u64", func(p *process) any { return p.established }, "sessions with peers"},
	{77, "CumStreams", "MGP", "u64", func(p *process) any { return p.sessions }, "sessions with peers since the start"},
	{78, "BlockedTrafficWarnings", "MGP", "u32", nil, "nothing here"},
}

func (f *infoField) read(p *process) any {
	if f.value == nil {
		return 0
	}
	return f.value(p)
}

// showInfo writes all fields in one of three formats. Words that are not known are
// passed over, as by HAProxy.
func (c *cli) showInfo(args []string) error {
	format, help := plainInfo, false
	for _, a := range args {
		switch a {
		case "typed":
			format = typedInfo
		case "json":
			format = jsonInfo
		case "desc":
			help = true
		}
	}
	_, err := c.out.WriteString(format(c.process(), help))
	return err
}

// helpOf is what stands behind a line where it is asked for.
func (f *infoField) helpOf(help bool) string {
	if !help {
		return ""
	}
	return fmt.Sprintf(":%q", f.help)
}

func plainInfo(p *process, help bool) string {
	var b strings.Builder
	for i := range infoFields {
		f := &infoFields[i]
		fmt.Fprintf(&b, "%s: %v%s\n", f.name, f.read(p), f.helpOf(help))
	}
	return b.String()
}

func typedInfo(p *process, help bool) string {
	var b strings.Builder
	for i := range infoFields {
		f := &infoFields[i]
		fmt.Fprintf(&b, "%d.%s.1:%s:%s:%v%s\n", f.number, f.name, f.tags, f.kind, f.read(p), f.helpOf(help))
	}
	return b.String()
}

// What the letters of tags stand for in JSON.
var (
	origins = map[byte]string{'P': "Product", 'C': "Config", 'K': "Key", 'S': "Status", 'M': "Metric"}
	natures = map[byte]string{'O': "Output", 'G': "Gauge", 'L': "Limit", 'M': "Max", 'D': "Duration", 'R': "Rate", 'C': "Counter", 'a': "Avg"}
	scopes  = map[byte]string{'S': "Service", 'P': "Process"}
)

func jsonInfo(p *process, _ bool) string {
	var b strings.Builder
	separator := "["
	for i := range infoFields {
		f := &infoFields[i]
		value, _ := json.Marshal(f.read(p)) // a number or a string
		fmt.Fprintf(&b, `%s{"field":{"pos":%d,"name":%q},"processNum":1,"tags":{"origin":%q,"nature":%q,"scope":%q},"value":{"type":%q,"value":%s}}`,
			separator, f.number, f.name, origins[f.tags[0]], natures[f.tags[1]], scopes[f.tags[2]], f.kind, value)
		separator = ","
	}
	b.WriteString("]\n")
	return b.String()
}

// uptime is a time in HAProxy's words, as 1d 2h03m04s.
func uptime(d time.Duration) string {
	s := int64(d.Seconds())
	return fmt.Sprintf("%dd %dh%02dm%02ds", s/86400, s/3600%24, s/60%60, s%60)
}

// releaseDate is the day of the commit that the binary was built of, 1970/01/01
// where it does not say.
func releaseDate() string {
	day := time.Unix(0, 0).UTC()
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if t, err := time.Parse(time.RFC3339, s.Value); s.Key == "vcs.time" && err == nil {
				day = t
			}
		}
	}
	return day.Format("2006/01/02")
}

// mapped is how many bytes of memory the process has got from the system.
func mapped() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}
