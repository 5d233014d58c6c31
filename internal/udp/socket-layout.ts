// Constants and struct layouts of Linux sockets, which are the same on x64 and arm64, with glibc and with musl: musl's
// 32-bit lengths lie in the low half of glibc's 64-bit ones, whose high half is always zero here.

export const AF_INET = 2;
export const AF_INET6 = 10;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0x800;
export const SOCK_CLOEXEC = 0x80000;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_BROADCAST = 6;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_REUSEPORT = 15;

export const SOL_IP = 0;
export const IP_TOS = 1;
export const IP_TTL = 2;
export const IP_PKTINFO = 8;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVTOS = 13;
export const IP_MULTICAST_IF = 32;
export const IP_MULTICAST_TTL = 33;
export const IP_MULTICAST_LOOP = 34;
export const IP_ADD_MEMBERSHIP = 35;
export const IP_DROP_MEMBERSHIP = 36;
/** Sets DF and ignores what the kernel believes of the path's MTU: rfc8899#4.1 wants probes to leave. */
export const IP_PMTUDISC_PROBE = 3;

export const SOL_IPV6 = 41;
export const IPV6_UNICAST_HOPS = 16;
export const IPV6_MULTICAST_IF = 17;
export const IPV6_MULTICAST_HOPS = 18;
export const IPV6_MULTICAST_LOOP = 19;
export const IPV6_JOIN_GROUP = 20;
export const IPV6_LEAVE_GROUP = 21;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_V6ONLY = 26;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const IPV6_RECVTCLASS = 66;
export const IPV6_TCLASS = 67;
export const IPV6_AUTOFLOWLABEL = 70;

export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

/** struct msghdr. */
export const MSGHDR = {
  size: 56,
  name: 0,
  nameLength: 8,
  iov: 16,
  iovLength: 24,
  control: 32,
  controlLength: 40,
  flags: 48,
} as const;

/** struct iovec. */
export const IOVEC = { size: 16, base: 0, length: 8 } as const;

/** struct cmsghdr: a 64-bit length, level and type, then the data; each starts at a multiple of 8. */
export const CMSGHDR = { size: 16, length: 0, level: 8, type: 12 } as const;

/** struct sockaddr_in and sockaddr_in6: family in native order, port and addresses in network order. */
export const SOCKADDR_IN_SIZE = 16;
export const SOCKADDR_IN6_SIZE = 28;

/** What one UDP datagram may hold by its length fields: 65,535 less 8 for UDP and 20 for IPv4, which IPv6's are within. */
export const MAX_UDP_PAYLOAD = 65_507;
/** UDP_MAX_SEGMENTS of kernels before 6.2; later ones take 128. */
export const MAX_SEGMENTS = 64;
