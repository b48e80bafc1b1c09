/* Guests that misbehave. SCENE, given on the compiler's command line, says how.
 *
 * Those that speak at all say a proper hello, so that what is judged is what comes after. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <termios.h>
#include <unistd.h>

enum scene {
	ENDS,            /* PID 1 ends, which the kernel doesn't survive */
	HANGS,           /* never says a word */
	HANGS_IN_PROOF,  /* says hello, starts a proof, and never another word */
	DIES_IN_PROOF,   /* starts two proofs, and dies while the first has its agent up */
	CUTS_HELLO,      /* half a hello, then the machine ends */
	CUTS_EVIDENCE,   /* half an evidence, then the machine ends */
	SKIPS_END,       /* a whole proof's frame, but no end */
	IS_ANOTHER_BOOT, /* the nonce of some other boot */
};

static char cmdline[4096];
static char lsm[1024];

static void slurp(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY);
	ssize_t got = read(fd, to, size - 1);

	if (got < 0)
		_exit(1);
	close(fd);
	to[got] = 0;
	to[strcspn(to, "\n")] = 0;
}

/* The value of one of our arguments. */
static const char *argument(const char *prefix, char *to, size_t size)
{
	const char *from = strstr(cmdline, prefix);

	if (!from)
		_exit(1);
	from += strlen(prefix);
	snprintf(to, size, "%.*s", (int)strcspn(from, " "), from);
	return to;
}

static void hello(char *to, size_t size, const char *nonce)
{
	char boot[64], list[2048] = "";
	struct utsname name;

	uname(&name);
	for (char *word = strtok(lsm, ","); word; word = strtok(NULL, ",")) {
		strcat(list, *list ? ",\"" : "\"");
		strcat(strcat(list, word), "\"");
	}
	snprintf(to, size,
		 "{\"record\":\"hello\",\"version\":5,\"promises_sha256\":\"" PROMISES "\",\"nonce\":\"%s\",\"boot\":\"%s\","
		 "\"release\":\"%s\",\"version_string\":\"%s\",\"cmdline\":\"%s\","
		 "\"memory_kib\":200000,\"processors\":1,"
		 "\"lsm\":[%s],\"lockdown\":\"none\",\"btf\":true,\"tainted\":0,"
		 "\"modules\":[],\"mismatches\":[]}\n",
		 nonce, argument("aegisbpf.boot=", boot, sizeof(boot)), name.release,
		 name.version, cmdline, list);
}

static int open_channel(void)
{
	struct termios raw;
	int port = open("/dev/ttyS1", O_RDWR | O_NOCTTY);

	if (port < 0 || tcgetattr(port, &raw))
		_exit(1);
	cfmakeraw(&raw);
	tcsetattr(port, TCSANOW, &raw);
	return port;
}

static void say(int port, const char *text, size_t length)
{
	while (length) {
		ssize_t sent = write(port, text, length);

		if (sent < 0)
			_exit(1);
		text += sent;
		length -= sent;
	}
	tcdrain(port);
}

static void tell(int port, const char *line)
{
	say(port, line, strlen(line));
}

static void set_up(void)
{
	mkdir("/dev", 0755);
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	mount("securityfs", "/sys/kernel/security", "securityfs", 0, NULL);
	slurp("/proc/cmdline", cmdline, sizeof(cmdline));
	slurp("/sys/kernel/security/lsm", lsm, sizeof(lsm));
}

int main(void)
{
	static char first[8192];
	char nonce[64];
	int port;

	if (SCENE == ENDS)
		return 3;
	if (SCENE == HANGS)
		for (;;)
			pause();
	set_up();
	port = open_channel();
	argument("aegisbpf.nonce=", nonce, sizeof(nonce));
	if (SCENE == IS_ANOTHER_BOOT)
		nonce[0] = nonce[0] == '0' ? '1' : '0';
	hello(first, sizeof(first), nonce);
	if (SCENE == CUTS_HELLO) {
		say(port, first, strlen(first) / 2);
		reboot(RB_AUTOBOOT);
	}
	tell(port, first);
	tell(port, "{\"record\":\"proof_started\",\"id\":\"enforce-denies-open\","
		   "\"configuration\":\"enforce\"}\n");
	if (SCENE == HANGS_IN_PROOF)
		for (;;)
			pause();
	if (SCENE == DIES_IN_PROOF) {
		tell(port, "{\"record\":\"proof_started\",\"id\":\"enforce-holds-out\","
			   "\"configuration\":\"enforce\"}\n");
		tell(port, "{\"record\":\"phase\",\"id\":\"enforce-denies-open\","
			   "\"configuration\":\"enforce\",\"phase\":\"during\"}\n");
		tell(port, "{\"record\":\"preliminary\",\"id\":\"enforce-denies-open\","
			   "\"arm\":\"during\",\"observation\":{\"kind\":\"act\","
			   "\"pid\":7,\"target\":\"/srv/secret\",\"passed\":null,"
			   "\"fate\":{\"kind\":\"denied\",\"errno\":1},\"leaked\":false,"
			   "\"effects\":[],\"helper\":null,\"events\":[]}}\n");
		return 3;
	}
	if (SCENE == CUTS_EVIDENCE)
		tell(port, "{\"record\":\"evidence\",\"id\":\"enforce-denies-open\",\"arm\":\"bef");
	if (SCENE == SKIPS_END)
		tell(port, "{\"record\":\"proof_finished\",\"id\":\"enforce-denies-open\","
			   "\"outcome\":\"skipped\",\"reason\":\"no reason\",\"took_us\":0,\"tainted\":0}\n");
	reboot(RB_AUTOBOOT);
	return 1;
}
