package admin

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// What the process says of itself.

func (c *cli) showVersion([]string) error { return c.say(severityInfo, c.Version+"\n") }

func (c *cli) showEnv(args []string) error {
	if len(args) == 0 {
		for _, v := range os.Environ() {
			fmt.Fprintln(c.out, v)
		}
		return nil
	}
	value, found := os.LookupEnv(args[0])
	if !found {
		return refusal("Variable not found\n")
	}
	fmt.Fprintf(c.out, "%s=%s\n", args[0], value)
	return nil
}

// reload answers as the command of that name on the socket of HAProxy's master does.
func (c *cli) reload(args []string) error {
	if len(args) > 0 {
		return refusal("Nothing more is understood here: reload\n")
	}
	said, err := c.Reload()
	if err != nil {
		return refusal("Success=0\n--\n" + said)
	}
	_, err = c.out.WriteString("Success=1\n--\n" + said)
	return err
}

// showSess shows no streams: there are none.
func (c *cli) showSess(args []string) error {
	if len(args) == 0 || args[0] == "all" {
		return nil
	}
	digits, _ := strings.CutPrefix(args[0], "0x")
	if _, err := strconv.ParseUint(digits, 16, 64); err == nil {
		return refusal("Session not found.\n")
	}
	return refusal(fmt.Sprintf("Unsupported option '%s', try 'help' for more info.\n", args[0]))
}

// statHeader are the columns of HAProxy 3.2, without those of its modules.
const statHeader = "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,act,bck," +
	"chkfail,chkdown,lastchg,downtime,qlimit,pid,iid,sid,throttle,lbtot,tracked,type,rate,rate_lim,rate_max,check_status,check_code," +
	"check_duration,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,hrsp_other,hanafail,req_rate,req_rate_max,req_tot,cli_abrt,srv_abrt," +
	"comp_in,comp_out,comp_byp,comp_rsp,lastsess,last_chk,last_agt,qtime,ctime,rtime,ttime,agent_status,agent_code,agent_duration," +
	"check_desc,agent_desc,check_rise,check_fall,check_health,agent_rise,agent_fall,agent_health,addr,cookie,mode,algo,conn_rate," +
	"conn_rate_max,conn_tot,intercepted,dcon,dses,wrew,connect,reuse,cache_lookups,cache_hits,srv_icur,src_ilim,qtime_max,ctime_max," +
	"rtime_max,ttime_max,eint,idle_conn_cur,safe_conn_cur,used_conn_cur,need_conn_est,uweight,agg_server_status," +
	"agg_server_check_status,agg_check_status,srid,sess_other,h1sess,h2sess,h3sess,req_other,h1req,h2req,h3req,proto,-,\n"

// showStat shows no proxies: there are none.
func (c *cli) showStat(args []string) error {
	if word(args, 0) == "domain" {
		if word(args, 1) != "proxy" {
			return refusal("Invalid statistics domain.\n")
		}
		args = args[2:]
	}
	if len(args) >= 3 {
		if n, err := strconv.Atoi(args[0]); err != nil || n == 0 {
			return refusal("No such proxy.\n")
		}
		args = args[3:]
	}
	answer := statHeader
	for _, a := range args {
		switch a {
		case "typed":
			answer = ""
		case "json":
			answer = "[]\n"
		}
	}
	_, err := c.out.WriteString(answer)
	return err
}
