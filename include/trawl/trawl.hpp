#pragma once

/// Everything. A source that names what it uses compiles faster.
#include <trawl/async.hpp>
#include <trawl/backup.hpp>
#include <trawl/dns.hpp>
#include <trawl/error.hpp>
#include <trawl/icmp.hpp>
#include <trawl/icmp_tally.hpp>
#include <trawl/limiter.hpp>
#include <trawl/mime.hpp>
#include <trawl/mutex.hpp>
#include <trawl/net.hpp>
#include <trawl/observer.hpp>
#include <trawl/offload_pool.hpp>
#include <trawl/plan.hpp>
#include <trawl/queue.hpp>
#include <trawl/sftp.hpp>
#include <trawl/smtp.hpp>
#include <trawl/ssh.hpp>
#include <trawl/ssh_agent.hpp>
#include <trawl/ssh_config.hpp>
#include <trawl/targets.hpp>
#include <trawl/task_group.hpp>
#include <trawl/tcp_probe.hpp>
#include <trawl/watchdog.hpp>
