//! Confinement of a child process. After its start, and before it reads anything untrusted, a child gives up the file
//! system, the network, other processes and every system call that its work does not need. It keeps the files that are open
//! already: its pipes and sockets.
//!
//! The confinement is Linux's: Landlock, as far as the kernel has it, and a list of allowed system calls. Elsewhere a child
//! has only the limits on its resources.

use std::io;

/// Gives up all access for this thread and for those that it starts later. A process therefore calls this while it has a
/// single thread. It cannot be undone.
///
/// Fails if the kernel has a means and refuses it. A means that the kernel does not have is left out; [`missing`] names it.
pub(crate) fn confine() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        linux::give_up_files().map_err(io::Error::other)?;
        linux::give_up_system_calls().map_err(io::Error::other)?;
    }
    Ok(())
}

/// The means of confinement that this system does not have, for the log.
pub fn missing() -> Vec<&'static str> {
    #[cfg(target_os = "linux")]
    return linux::missing();
    #[cfg(not(target_os = "linux"))]
    vec!["Landlock", "seccomp"]
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::path::Path;

    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError, Scope,
    };
    use libc::{CLONE_THREAD, CLONE_VM, ENOSYS, EPERM, PR_SET_NAME, PRIO_PROCESS, PROT_EXEC};
    use seccompiler::{
        BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
        SeccompRule, TargetArch,
    };

    /// Newest version of Landlock that is asked for. An older kernel enforces the part that it knows.
    const LANDLOCK: ABI = ABI::V7;

    /// File whose presence shows that the kernel has seccomp filters.
    const SECCOMP: &str = "/proc/sys/kernel/seccomp/actions_avail";

    pub(super) fn missing() -> Vec<&'static str> {
        let mut missing = Vec::new();
        let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        if strict.handle_access(AccessFs::from_all(ABI::V1)).and_then(Ruleset::create).is_err() {
            missing.push("Landlock");
        }
        if !Path::new(SECCOMP).exists() {
            missing.push("seccomp");
        }
        missing
    }

    /// No file can be opened, no TCP port bound or connected to, no signal sent to another process, and no abstract socket
    /// reached. Processes outside can no longer be traced. New programs get no more rights than this one (`no_new_privs`).
    pub(super) fn give_up_files() -> Result<(), RulesetError> {
        let ruleset = Ruleset::default()
            .handle_access(AccessFs::from_all(LANDLOCK))?
            .handle_access(AccessNet::from_all(LANDLOCK))?
            .scope(Scope::from_all(LANDLOCK))?;
        ruleset.create()?.restrict_self().map(drop)
    }

    pub(super) fn give_up_system_calls() -> Result<(), SeccompError> {
        // The C library turns to `clone`, whose flags a filter can read, if the kernel does not seem to have `clone3`.
        let without_clone3 = filter(
            BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
            SeccompAction::Allow,
            SeccompAction::Errno(ENOSYS.cast_unsigned()),
        )?;
        let allowed = filter(allowed()?, SeccompAction::Errno(EPERM.cast_unsigned()), SeccompAction::Allow)?;
        match seccompiler::apply_filter(&without_clone3) {
            Err(error) if is_unsupported(&error) => return Ok(()),
            installed => installed?,
        }
        Ok(seccompiler::apply_filter(&allowed)?)
    }

    /// True if the kernel has no filters of system calls.
    fn is_unsupported(error: &seccompiler::Error) -> bool {
        use seccompiler::Error::{Prctl, Seccomp};
        let (Prctl(error) | Seccomp(error)) = error else { return false };
        matches!(error.raw_os_error(), Some(libc::EINVAL | ENOSYS))
    }

    #[derive(Debug, thiserror::Error)]
    pub(super) enum SeccompError {
        #[error("the filter of system calls cannot be made: {0}")]
        Filter(#[from] BackendError),
        #[error("the filter of system calls cannot be installed: {0}")]
        Install(#[from] seccompiler::Error),
    }

    fn filter(
        rules: BTreeMap<i64, Vec<SeccompRule>>,
        otherwise: SeccompAction,
        matched: SeccompAction,
    ) -> Result<BpfProgram, BackendError> {
        SeccompFilter::new(rules, otherwise, matched, TargetArch::try_from(std::env::consts::ARCH)?)?.try_into()
    }

    /// System calls that are allowed whatever their arguments: on files that are open, on this process's own memory, threads
    /// and signal handlers, and on time.
    const PLAIN: [i64; 41] = [
        libc::SYS_brk,
        libc::SYS_clock_getres,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_fstat,
        libc::SYS_futex,
        libc::SYS_getcpu,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_lseek,
        libc::SYS_madvise,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_nanosleep,
        libc::SYS_ppoll,
        libc::SYS_pread64,
        libc::SYS_pwrite64,
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_recvfrom,
        libc::SYS_recvmsg,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_sendmsg,
        libc::SYS_sendto,
        libc::SYS_set_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_sigaltstack,
        libc::SYS_sysinfo,
        libc::SYS_uname,
        libc::SYS_write,
        libc::SYS_writev,
    ];

    /// The allowed system calls, each with the arguments that it may have.
    fn allowed() -> Result<BTreeMap<i64, Vec<SeccompRule>>, BackendError> {
        let is = |argument: u8, value: u64| condition(argument, SeccompCmpOp::Eq, value);
        let not_executable = || condition(2, SeccompCmpOp::MaskedEq(u64::from(PROT_EXEC.cast_unsigned())), 0);
        let thread = u64::from((CLONE_THREAD | CLONE_VM).cast_unsigned());
        let mut allowed: BTreeMap<i64, Vec<SeccompRule>> = PLAIN.into_iter().map(|call| (call, Vec::new())).collect();
        allowed.extend([
            // Threads, and no processes.
            (libc::SYS_clone, vec![SeccompRule::new(vec![condition(0, SeccompCmpOp::MaskedEq(thread), thread)?])?]),
            // The other filter decides about it.
            (libc::SYS_clone3, Vec::new()),
            // Memory, and no new code in it.
            (libc::SYS_mmap, vec![SeccompRule::new(vec![not_executable()?])?]),
            (libc::SYS_mprotect, vec![SeccompRule::new(vec![not_executable()?])?]),
            // The names of threads.
            (libc::SYS_prctl, vec![SeccompRule::new(vec![is(0, u64::from(PR_SET_NAME.cast_unsigned()))?])?]),
            // The priority of this thread.
            (libc::SYS_getpriority, own_priority()?),
            (libc::SYS_setpriority, own_priority()?),
            // `abort` sends a signal to its own thread.
            (libc::SYS_tgkill, vec![SeccompRule::new(vec![is(0, u64::from(std::process::id()))?])?]),
        ]);
        Ok(allowed)
    }

    fn own_priority() -> Result<Vec<SeccompRule>, BackendError> {
        let whose = condition(0, SeccompCmpOp::Eq, u64::from(PRIO_PROCESS))?;
        Ok(vec![SeccompRule::new(vec![whose, condition(1, SeccompCmpOp::Eq, 0)?])?])
    }

    /// A condition on the lower half of an argument: all arguments that are compared are of 32 bits.
    fn condition(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, BackendError> {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use std::process::Command;

    use rustix::process::{Resource, Signal, getppid, getrlimit, kill_process, setrlimit};

    use super::*;

    /// Runs a test in a thread that is confined for the rest of its life.
    fn confined(test: impl FnOnce() + Send + 'static) {
        assert!(missing().is_empty(), "this kernel lacks {:?}", missing());
        let thread = std::thread::spawn(|| {
            confine().unwrap();
            test();
        });
        thread.join().unwrap();
    }

    #[test]
    fn a_confined_thread_reaches_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let parent = getppid().unwrap();
        confined(move || {
            let refused = [
                ("open", File::open("/etc/passwd").map(drop)),
                ("create", File::create("/tmp/bulkhead-confined").map(drop)),
                ("list", std::fs::read_dir("/").map(drop)),
                ("look", std::fs::metadata("/etc/passwd").map(drop)),
                ("connect", TcpStream::connect(address).map(drop)),
                ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
                ("socket", UnixDatagram::unbound().map(drop)),
                ("pair", UnixStream::pair().map(drop)),
                ("execute", Command::new("/bin/true").spawn().map(drop)),
                ("signal", kill_process(parent, Signal::WINCH).map_err(io::Error::from)),
                ("limit", setrlimit(Resource::Core, getrlimit(Resource::Core)).map_err(io::Error::from)),
            ];
            for (act, result) in refused {
                assert_eq!(result.unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{act}");
            }
        });
    }

    /// The work of a child: open files, memory, threads, panics and time.
    #[test]
    fn a_confined_thread_can_work() {
        let mut open = File::open("/proc/self/status").unwrap();
        let (mut near, mut far) = UnixStream::pair().unwrap();
        confined(move || {
            let mut status = String::new();
            open.read_to_string(&mut status).unwrap();
            open.rewind().unwrap();
            assert!(status.contains("RssAnon:"), "{status}");
            assert_eq!(std::fs::read_to_string("/proc/self/status").map_err(|error| error.kind()).err(), DENIED);
            near.write_all(b"word").unwrap();
            let mut word = [0; 4];
            far.read_exact(&mut word).unwrap();
            assert_eq!(&word, b"word");
            let large = vec![1u8; 64 << 20];
            let sum = std::thread::spawn(move || large.iter().map(|byte| u64::from(*byte)).sum::<u64>());
            assert_eq!(sum.join().unwrap(), 64 << 20);
            assert!(std::thread::spawn(|| std::panic::resume_unwind(Box::new(()))).join().is_err());
            assert!(std::thread::available_parallelism().is_ok());
            std::thread::sleep(std::time::Duration::from_millis(1));
            rustix::process::nice(1).unwrap();
        });
    }

    const DENIED: Option<io::ErrorKind> = Some(io::ErrorKind::PermissionDenied);
}
