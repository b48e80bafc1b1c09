/* Agents that misbehave. SCENE, given on the compiler's command line, says how.
 *
 * They know of the agent's command line only what the guest uses: `run`, the readiness
 * descriptor, and the variable that names the report.
 *
 * Those that only disturb the kernel go on as an agent that keeps its promises, so that the
 * disturbance is all that there is to find. The guest has one: the sabotaged build, with nothing
 * broken. */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum scene {
	CRASHES,          /* aborts at once */
	PANICS,           /* takes the kernel down */
	NEVER_READY,      /* holds the readiness descriptor and does nothing */
	REPORTS_NOTHING,  /* ready, without a report */
	LIES,             /* reports that it enforces, and does nothing */
	MEASURES_NOTHING, /* says that nothing can be measured here */
	TAINTS,           /* leaves the kernel tainted, as a warning does */
	COMPLAINS,        /* has the kernel say what it says with a warning, without the taint */
};

static int ready_descriptor(int argc, char **argv)
{
	static const char option[] = "--ready-fd=";

	for (int i = 1; i < argc; i++)
		if (!strncmp(argv[i], option, strlen(option)))
			return atoi(argv[i] + strlen(option));
	exit(2);
}

/* What an honest agent would report, of this very process and boot. */
static void report(void)
{
	char boot_id[64] = "";
	FILE *id = fopen("/proc/sys/kernel/random/boot_id", "r");
	FILE *out = fopen(getenv("AEGIS_CAPABILITIES_REPORT_PATH"), "w");

	if (!id || !out || fscanf(id, "%63s", boot_id) != 1)
		exit(1);
	fprintf(out,
		"{\"runtime_state\":\"ENFORCE\",\"audit_only\":false,"
		"\"enforce_capable\":true,\"enforce_blockers\":[],"
		"\"rules\":{\"total\":1,\"enforced\":1,\"unenforced\":[]},"
		/* No machine of a test is up for so many milliseconds. */
		"\"valid_until_boot_ms\":1000000000,"
		"\"boot_id\":\"%s\",\"agent\":{\"pid\":%d}}",
		boot_id, (int)getpid());
	if (fclose(out))
		exit(1);
}

static void be_ready_until_asked_to_stop(int ready)
{
	sigset_t stop;
	int got;

	sigemptyset(&stop);
	sigaddset(&stop, SIGTERM);
	sigprocmask(SIG_BLOCK, &stop, NULL);
	if (write(ready, "ready\n", 6) != 6 || close(ready))
		exit(1);
	sigwait(&stop, &got);
}

static void crash_the_kernel(void)
{
	FILE *trigger = fopen("/proc/sysrq-trigger", "w");

	if (trigger) {
		fputc('c', trigger);
		fclose(trigger);
	}
}

static void tell_kernel(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	if (!file || fputs(text, file) < 0 || fclose(file))
		exit(1);
}

static int go_on_as_the_agent(char **argv)
{
	execv("/usr/bin/aegisbpf-sabotaged", argv);
	return 1;
}

int main(int argc, char **argv)
{
	int ready = ready_descriptor(argc, argv);

	switch (SCENE) {
	case CRASHES:
		fputs("about to abort\n", stderr);
		abort();
	case PANICS:
		crash_the_kernel();
		return 1;
	case NEVER_READY:
		pause();
		return 1;
	case REPORTS_NOTHING:
		be_ready_until_asked_to_stop(ready);
		return 0;
	case LIES:
		report();
		be_ready_until_asked_to_stop(ready);
		return 0;
	case MEASURES_NOTHING:
		fputs("bpf(2) is refused here\n", stderr);
		return 77;
	case TAINTS:
		tell_kernel("/proc/sys/kernel/tainted", "512");
		return go_on_as_the_agent(argv);
	case COMPLAINS:
		tell_kernel("/dev/kmsg", "<4>WARNING: CPU: 0 PID: 7 at kernel/bpf/core.c:7 x+0x1/0x2");
		return go_on_as_the_agent(argv);
	}
	return 2;
}
