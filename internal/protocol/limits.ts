// Every limit of quic-ts: its default, the reason for the figure, and the attack it stops.
// Times are ms, sizes are bytes. Nothing in the tree has a bound of its own: it is here, or it is in the configuration.

/** Smallest datagram that every QUIC path carries, rfc9000#14. Below it neither Initials nor probes validate a path. */
export const MIN_DATAGRAM_SIZE = 1200;

/** Largest UDP payload over IPv4 with a 65,535-byte total length less 8 + 20, rounded to what the RFC allows: rfc9000#18.2. */
export const MAX_DATAGRAM_SIZE = 65527;

/** Default of `maxDatagramSize`: 1,500-byte Ethernet less IPv6 and UDP headers; the figure quic-go caps at. */
export const DEFAULT_DATAGRAM_SIZE = 1452;

/** Datagram size used before the path is known to carry more. 1,252 = 1,280 (IPv6 minimum) less 28: fits every tunnel seen in practice. */
export const INITIAL_DATAGRAM_SIZE = 1252;

/** What a server may send to an address that has not proved itself, rfc9000#8.1. Stops: reflection with gain. */
export const AMPLIFICATION_FACTOR = 3;

/** Idle timeout we announce, as quic-go: long enough for a NAT binding to live, short enough to free memory. */
export const IDLE_TIMEOUT = 30_000;

/** A handshake that takes longer is given up. Stops: slow-drip handshakes holding memory. */
export const HANDSHAKE_TIMEOUT = 10_000;

/** Keep alive never waits longer, since common NATs forget UDP bindings after 30 s. */
export const MAX_KEEP_ALIVE = 20_000;

/** Stream receive window: start and cap of the auto-tuning. 6 MB is 100 ms at 480 Mbit/s. Stops: memory by unread data. */
export const STREAM_WINDOW_INITIAL = 512 * 1024;
export const STREAM_WINDOW_MAX = 6 * 1024 * 1024;

/** Connection receive window. One and a half times a stream's start, so that one stream cannot starve the rest. */
export const CONNECTION_WINDOW_INITIAL = 768 * 1024;
export const CONNECTION_WINDOW_MAX = 15 * 1024 * 1024;

/** Part of a receive window that is consumed before the peer hears of more: fewer frames than for each read, and the sender keeps half a window. */
export const WINDOW_UPDATE_FRACTION = 0.5;

/** Concurrent streams the peer may open. Stops: state by stream count. */
export const MAX_INCOMING_STREAMS = 100;
export const MAX_INCOMING_UNI_STREAMS = 100;

/** rfc9000#4.6: a stream count above 2^60 cannot be written as a stream ID. */
export const MAX_STREAM_COUNT = 2 ** 60;

/** Bytes a stream buffers for sending before write waits. Covers a 1 Gbit/s × 8 ms path while the writer sleeps. */
export const SEND_BUFFER_PER_STREAM = 1024 * 1024;

/**
 * Bytes of a stream that are not sent yet may be so many even where what is in flight fills its buffer: a window larger
 * than the buffer, as on a long fast path, must not stand still. The connection's limit holds all the same.
 */
export const SEND_BUFFER_UNSENT = 512 * 1024;

/** Bytes all streams of a connection buffer for sending. Stops: memory by a peer that never acknowledges. */
export const SEND_BUFFER_PER_CONNECTION = 16 * 1024 * 1024;

/** Owned chunks below this are copied all the same: a block each would cost more than the bytes. Stops: memory by tiny writes. */
export const MIN_OWNED_CHUNK = 512;

/**
 * Out-of-order ranges kept per stream or CRYPTO level. Stops: reassembly state by one-byte frames with gaps. More of them
 * are kept where they are so many bytes apart on average, as when a long queue drops every other packet of a large
 * window: then the window is the bound.
 */
export const MAX_STREAM_GAPS = 1000;
export const STREAM_GAP_SPACING = 1024;

/** CRYPTO bytes buffered per level beyond what TLS consumed; rfc9000#7.5 wants at least 4,096. Stops: CRYPTO flooding. */
export const CRYPTO_BUFFER = 65536;

/** One TLS handshake message. A 16-certificate RSA-4096 chain is about 30 KB. Stops: memory by announced lengths. */
export const MAX_TLS_MESSAGE = 65536;

/** CRYPTO bytes TLS holds while it waits for an identity, a signature or a verifier. A chain and what follows it fit. Stops: memory by slow answers. */
export const MAX_WAITING_TLS = 2 * MAX_TLS_MESSAGE;

/** Certificates in a peer's chain. Stops: CPU by path building. */
export const MAX_CHAIN_LENGTH = 16;

/** Signature checks while building one certification path. Stops: CPU by cross-signed meshes. */
export const MAX_PATH_SIGNATURE_CHECKS = 64;

/** Name constraint comparisons (constraints × names) for one path. Stops: CPU by quadratic name constraints. */
export const MAX_NAME_CONSTRAINT_CHECKS = 250_000;

/** ACK ranges remembered for received packets; the oldest are forgotten. Stops: state by sending every other number. */
export const MAX_ACK_RANGES = 64;

/** ACK ranges read from one frame. 1,200 bytes cannot hold more than about 600. */
export const MAX_ACK_RANGES_READ = 32_768;

/** Sent packets remembered in one space. 128 Ki × 1,452 B = 190 MB in flight. Stops: memory by a peer that never acknowledges. */
export const MAX_SENT_PACKETS = 131_072;
/** Of those, kept for ACKs and probes, which leave when nothing else may. Beyond them the oldest packet counts as lost. */
export const RESERVED_SENT_PACKETS = 1024;
/** Lost packets remembered per space, to see that a late ACK shows a loss to be spurious. Stops: work per ACK by losses. */
export const MAX_REMEMBERED_LOSSES = 256;
/** Spurious losses widen the thresholds of loss detection so far, in packets and in round trips. Stops: late ACKs that delay repairs. */
export const MAX_PACKET_THRESHOLD = 300;
export const MAX_TIME_THRESHOLD = 2;
/** They return to their defaults after so many loss episodes without a spurious one: RACK's figure, rfc8985#7.2. */
export const REORDERING_MEMORY = 16;
/** Numbers skipped on purpose that are remembered; their distances double, so that these are all of a long connection's. */
export const MAX_SKIPPED_NUMBERS = 16;

/** Our max_ack_delay, rfc9000#18.2's default. */
export const MAX_ACK_DELAY = 25;
/** Our ack_delay_exponent, the default. */
export const ACK_DELAY_EXPONENT = 3;
/** The least that we delay an ACK where we are asked to, ms: what a timer does. ack-frequency#3 */
export const MIN_ACK_DELAY = 1;
/** Ack-eliciting packets that we ask a peer to take before it acknowledges: a quarter of the window, up to this. */
export const MAX_REQUESTED_ACK_THRESHOLD = 64;
/** Ack-eliciting packets before an ACK leaves at once, rfc9000#13.2.2. */
export const ACK_ELICITING_THRESHOLD = 2;

/** The max_datagram_frame_size we announce where datagrams are wanted: any that fits a packet, rfc9221#3. */
export const DATAGRAM_FRAME_SIZE = 65535;
/**
 * Datagrams that wait to be sent, and those that wait for the application: a second of video, or what one turn of the event
 * loop brings. Stops: memory by datagrams that nobody reads, which no flow control counts (rfc9221#5.3).
 */
export const DATAGRAM_SEND_QUEUE = { count: 512, bytes: 1024 * 1024, drop: "newest" } as const;
export const DATAGRAM_RECEIVE_QUEUE = { count: 2048, bytes: 2 * 1024 * 1024, drop: "oldest" } as const;
/** Urgency of datagrams without one, of 0 to 7; up to it they leave before stream data. */
export const DATAGRAM_URGENCY = 3;

/** Connection IDs of ours that the peer holds, and the most we hold of the peer's: rfc9000#18.2 wants at least 2. */
export const ACTIVE_CONNECTION_ID_LIMIT = 4;

/** Connection IDs of the peer's we still have to retire. Stops: RETIRE_CONNECTION_ID stuffing, rfc9000#5.1.2. */
export const MAX_PENDING_RETIREMENTS = 3 * ACTIVE_CONNECTION_ID_LIMIT;

/** Connection IDs the peer retired that go on routing for packets on their way: so many, so long (ms). */
export const MAX_RETIRED_CONNECTION_IDS = 8;
export const RETIRED_CONNECTION_ID_TIME = 3000;
/** Sequence numbers of the peer's connection IDs we retired and whose frames may come again. Stops: state by gaps in them. */
export const MAX_REMEMBERED_RETIREMENTS = 64;

/** Length of the connection IDs we choose: 8 bytes route without collisions and cost little. */
export const CONNECTION_ID_LENGTH = 8;
/** rfc9000#17.2: in version 1 no connection ID is longer. */
export const MAX_CONNECTION_ID_LENGTH = 20;
/** Least bytes of ours where we have any: shorter ones run out, and strangers hit those in use by guessing. */
export const MIN_CONNECTION_ID_LENGTH = 4;
/** rfc8999#5.1: in another version it may be, up to one length byte. */
export const MAX_CONNECTION_ID_LENGTH_ANY_VERSION = 255;
/** rfc9000#7.2: the client's first random DCID. */
export const MIN_INITIAL_DCID_LENGTH = 8;

/** PATH_RESPONSEs waiting to leave. Stops: PATH_CHALLENGE floods filling memory. */
export const MAX_QUEUED_PATH_RESPONSES = 8;
/** PATH_CHALLENGEs of one validation that may still be answered: they double their interval within three PTO. */
export const MAX_PATH_CHALLENGES = 4;
/** Paths remembered per connection. Stops: state by rebinding storms. */
export const MAX_PATHS = 4;

/** Control frames waiting to leave, of all kinds. Stops: memory by provoking answers without acknowledging. */
export const MAX_QUEUED_CONTROL_FRAMES = 1024;

/** Packets kept while their keys are not there yet, per connection. Covers a reordered server flight. */
export const MAX_UNDECRYPTABLE_PACKETS = 16;
/** Bytes of them. */
export const MAX_UNDECRYPTABLE_BYTES = 32 * 1024;

/** Accepted connections that wait for `accept()`. */
export const ACCEPT_QUEUE = 32;
/** Handshakes in flight per endpoint. Stops: memory by Initial floods. */
export const MAX_HANDSHAKES = 1024;
/** Connections per endpoint. */
export const MAX_CONNECTIONS = 100_000;

/** Of those, the handshakes of clients that have not proved their address. Beyond it they get a Retry. Stops: spoofed Initials. */
export const MAX_UNVALIDATED_HANDSHAKES = 256;
/** Connections of one host (an IPv4 address, an IPv6 /64): many clients share a NAT. Stops: one host that takes all of them. */
export const MAX_CONNECTIONS_PER_HOST = 20_000;

/**
 * Datagrams kept of a client about which the application is asked before anything is made for it, and their bytes: a
 * ClientHello in several, some 0-RTT, and repetitions. Stops: memory by Initial floods while a hook takes its time.
 */
export const MAX_PARKED_DATAGRAMS = 8;
export const MAX_PARKED_BYTES = 16 * 1024;

/**
 * 0-RTT that overtook its Initial: for how many clients it is kept, how many datagrams and bytes of each (a first window),
 * and for how long, ms: that is for reordering, what was lost is sent again. Stops: memory by 0-RTT floods, half a MiB.
 */
export const MAX_EARLY_QUEUES = 32;
export const MAX_EARLY_QUEUE_DATAGRAMS = 16;
export const MAX_EARLY_QUEUE_BYTES = 16 * 1024;
export const EARLY_QUEUE_TIME = 100;

/** A rate: so many per second, so many at once. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/**
 * What clients without a connection may cause per second and at once: in all, and one host (an IPv4 address, an IPv6
 * /64). Beyond it their packets are dropped as "rate_limited". All stop reflection, where the source is a victim's; and:
 * Retry: CPU, 20 to 35 µs each with its sending, 5 % of a core at most; one core has no more handshakes for those who come
 * back with its token. Version Negotiation, resets: CPU, a few µs each. Closes: CPU, they need Initial keys.
 * New connections: CPU, a handshake costs about 1 ms; far more than one core can serve, so that only floods meet it.
 */
export const RATES = {
  retry: { total: { perSecond: 1500, burst: 1000 }, host: { perSecond: 1000, burst: 500 } },
  versionNegotiation: { total: { perSecond: 1000, burst: 200 }, host: { perSecond: 100, burst: 50 } },
  statelessReset: { total: { perSecond: 1000, burst: 200 }, host: { perSecond: 100, burst: 50 } },
  close: { total: { perSecond: 500, burst: 200 }, host: { perSecond: 100, burst: 50 } },
  newConnection: { total: { perSecond: 10_000, burst: 5000 }, host: { perSecond: 4000, burst: 4000 } },
} as const;
/** Answers without state that wait to be sent. Stops: memory by a blocked socket. */
export const MAX_QUEUED_ANSWERS = 1024;
/** First packets that did not authenticate before Retry is demanded: each costs Initial keys. Stops: CPU by garbage Initials. */
export const FAILED_INITIALS: Rate = { perSecond: 50, burst: 100 };
/** Hosts whose rates are remembered while they have no connection. Stops: memory by spoofed sources. */
export const MAX_TRACKED_HOSTS = 8192;
/** Addresses that completed a handshake lately: of them no Retry is demanded. Stops: memory by many clients. */
export const VALIDATED_ADDRESSES = 4096;

/** Tokens of NEW_TOKEN frames are good for so long, ms. Stops: tokens collected for later. */
export const MAX_TOKEN_AGE = 24 * 3_600_000;
/** Those of Retry packets, ms: they come back within a round trip and its repetitions. */
export const RETRY_TOKEN_LIFETIME = 10_000;
/** Keys that open tokens. Stops: work per token by key lists. */
export const MAX_TOKEN_KEYS = 8;
/** Tokens that made a connection are remembered, so many. Stops: replay of tokens, rfc9000#8.1.4. */
export const MAX_USED_TOKENS = 16_384;
/** An address token of ours is never larger. Stops: CPU by long tokens. */
export const MAX_ADDRESS_TOKEN = 256;
/** Tokens a client takes of one connection, and the bytes of one. Stops: memory by NEW_TOKEN floods. */
export const MAX_TOKENS_TAKEN = 16;
export const MAX_TOKEN_LENGTH = 1024;
/** Servers whose tokens a client keeps, and how many of each. Stops: memory by dialing many servers. */
export const TOKEN_STORE_SERVERS = 256;
export const TOKENS_PER_SERVER = 4;

/**
 * A Version Negotiation packet is believed so late (ms): nothing authenticates it, and an answer of the server's that is
 * on its way proves it forged (rfc9000#6.2). Covers the round trips on Earth; an honest one costs that much, once.
 */
export const VERSION_NEGOTIATION_PATIENCE = 250;
/** So late is an Initial believed that would end a client's attempt before a server's answer has begun: likewise. */
export const FORGERY_PATIENCE = VERSION_NEGOTIATION_PATIENCE;
/** Initials kept that wait for that, or for the beginning of the answer. Stops: memory by forged ones. */
export const MAX_DOUBTFUL_INITIALS = 4;

/** Bytes of the greased transport parameter's value, at most. */
export const MAX_GREASED_PARAMETER = 16;

/** rfc9000#10.3: shorter datagrams cannot be told from valid packets. */
export const MIN_STATELESS_RESET = 21;

/** Size from which our own stateless resets look like any small packet, rfc9000#10.3. */
export const TYPICAL_STATELESS_RESET = 43;

/** Draws of a connection ID that is not in use. With 8 bytes the second never happens; with 1 it is the end of the space. */
export const MAX_CONNECTION_ID_DRAWS = 64;

/** Bytes of a reason phrase we send. Longer ones are cut: the frame must fit one packet. */
export const MAX_REASON_PHRASE = 512;

/** Packets per datagram that are looked at. Four types coalesce; more is somebody probing. */
export const MAX_COALESCED_PACKETS = 8;

/** rfc8899#5.1.2 MAX_PROBES: so many lost probes of a size say that it does not arrive. */
export const MTU_PROBES = 3;
/** rfc8899#5.1.1 PMTU_RAISE_TIMER: after that the search is done again. */
export const MTU_RAISE_TIMER = 600_000;
/** Bytes that are not worth another probe. */
export const MTU_SEARCH_STEP = 20;
/** Packets above 1,200 bytes that were lost while none of them arrived, and PTOs in a row, after which 1,200 bytes are all
 * that is tried: rfc8899#4.3. */
export const BLACK_HOLE_LOSSES = 10;
export const BLACK_HOLE_TIMEOUTS = 2;

/** One path in so many does not spin, whatever was configured: rfc9000#17.4 at least one in every 16. */
export const SPIN_DISABLED_OF = 16;

/** rfc9000#A.4: marked packets that want an ACK, and PTOs in a row, after which the answer is awaited without marks. */
export const ECN_TEST_PACKETS = 10;
export const ECN_TEST_TIMEOUTS = 2;

/** Datagrams handed to one connection's transmit before others get their turn. */
export const MAX_DATAGRAMS_PER_TRANSMIT = 44;

/** New DNS attempts start after this, rfc8305#5. */
export const HAPPY_EYEBALLS_DELAY = 250;

/** AEAD limits, rfc9001#6.6: packets one key may seal (confidentiality) and fail to open (integrity). */
export const CONFIDENTIALITY_LIMIT_AES_GCM = 2 ** 23;
export const INTEGRITY_LIMIT_AES_GCM = 2 ** 52;
/** Packets of a 1-RTT key's last ones that only CONNECTION_CLOSE may use: rfc9001#6.6 closes before keys are used up. */
export const RESERVED_SEALS = 64;
/** ChaCha20-Poly1305's confidentiality limit is beyond the number of packets: rfc9001#6.6. */
export const CONFIDENTIALITY_LIMIT_CHACHA20 = 2 ** 62;
export const INTEGRITY_LIMIT_CHACHA20 = 2 ** 36;

/** Kernel socket buffers we ask for: a batch of a fast sender must fit while the event loop is busy. 4 MB is 5 ms at 7 Gbit/s. */
export const SOCKET_BUFFER = 4 * 1024 * 1024;
/** Receive calls in one turn of the event loop before sending gets its turn, up to 64 KB each. Stops: a flood that starves sending. */
export const MAX_RECEIVES_PER_WAKE = 16;
/** Receive calls that fail one after the other, with more than "nothing there", before the socket counts as broken. Stops: a loop that turns for nothing. */
export const MAX_RECEIVE_ERRORS = 64;
/** Batches on their way to the kernel. When all are, transmitting waits. Stops: memory by a blocked socket. */
export const MAX_SEND_BATCHES = 16;
/** Peer addresses a socket keeps one object for. Stops: memory by spoofed sources. */
export const MAX_REMEMBERED_ADDRESSES = 4096;

/** Batches sent in one turn of the event loop before receiving gets its turn. Stops: a sender that starves its own ACKs. */
export const MAX_BATCHES_PER_FLUSH = 8;
/** A whole message waits so long, ms, for the end of the turn of the event loop, then leaves before it. Stops: latency by others' work. */
export const MAX_FLUSH_DELAY = 0.1;
/** A transport that closes flushes so often, and waits so long (ms) for a full socket each time. Stops: a close that never ends. */
export const MAX_FINAL_FLUSHES = 64;
export const FINAL_FLUSH_WAIT = 100;
/** A timer so late (ms) that the event loop was blocked: datagrams that wait in the kernel are read before it counts. */
export const LATE_TIMER = 50;

/** Granularity of the timers that pacing rides on, ms: Node's. */
export const PACING_TIMER_GRANULARITY = 1;
/**
 * The slowest that a user's congestion controller may pace: a datagram in so many round trips, each counted as that many ms
 * at least. The least window is two datagrams for each (rfc9002#7.2, rfc9002#7.7), and a rate that was measured is never
 * under half a datagram or so: a datagram's own time on the link is part of the round trip. Stops: a wrong unit that holds
 * everything back until the idle timeout (30 s by default).
 */
export const MAX_DATAGRAM_SPACING = 4;
export const MIN_DATAGRAM_SPACING_RTT = 1000;

/** A PTO never backs off further, ms: a peer that comes back is noticed within a minute. */
export const MAX_PTO = 60_000;
/** A packet number is skipped about every so many packets at first, doubling each time. Stops: optimistic ACKs, rfc9000#21.4. */
export const SKIPPED_NUMBER_PERIOD = 256;

/** Native cipher contexts for each cipher, about 1 KB each; keys beyond them take turns. Stops: memory by idle connections. */
export const MAX_CIPHER_CONTEXTS = 256;

/** Bytes of a slab that little arrays are pieces of. Stops: memory held by one array that outlives the others around it. */
export const SMALL_BYTES_SLAB = 2048;

/** Sets of algorithms and protocols that are kept worked out, in the whole process. Stops: memory by options that change. */
export const MAX_KNOWN_CHOICES = 8;

/** Public keys of servers kept ready for the next signature, in the whole process. Stops: memory by many servers. */
export const MAX_VERIFY_KEYS = 16;

/** Blocks of stream data of each size (2 to 64 KiB) kept for what comes next, in the whole process: 16 MB at most. Stops:
 * memory after a burst of transfers. */
export const MAX_POOLED_BLOCKS = 128;

/** The longest wait for an answer that is spent awake, ms. Stops: CPU spent on peers that are far away. */
export const BUSY_POLL_MAX = 0.4;

/** A key share made ahead is forgotten after this, ms. Stops: keys in memory that a later look finds. */
export const SPARE_SHARE_TIME = 5000;

/** RSA keys, bits of the modulus: the CA/Browser Forum's minimum, and what verifies in some ms. Stops: CPU by key size. */
export const MIN_RSA_BITS = 2048;
export const MAX_RSA_BITS = 8192;
/** RSA public exponents, bits: all in use are 65537 or less. Stops: CPU by exponent size. */
export const MAX_RSA_EXPONENT_BITS = 32;

/** 1-RTT packets sealed before our first key update, soon so that the rare path is well trodden, and between later ones. */
export const FIRST_KEY_UPDATE = 100;
export const KEY_UPDATE_INTERVAL = 100_000;
/**
 * Key updates of the peer's that came while the keys before the last one were still there (3 PTO) and within so many
 * packets of it. Honest ones are far apart: rfc9001#6.5. Stops: CPU by key update storms, each costs new keys both ways.
 */
export const MAX_HASTY_KEY_UPDATES = 16;
export const HASTY_KEY_UPDATE_PACKETS = 64;

/** Draws for a private scalar: one in 2^32 misses at most, so that more than this is a broken source. Stops: a hang. */
export const MAX_SCALAR_DRAWS = 64;

/** Parsed certificates remembered, and their bytes: servers of one operator share intermediates. Stops: memory by certificates. */
export const CERTIFICATE_CACHE_ENTRIES = 512;
export const CERTIFICATE_CACHE_BYTES = 2 * 1024 * 1024;

/** Extensions of one certificate; those in use have about ten. Stops: CPU by extension lists. */
export const MAX_CERTIFICATE_EXTENSIONS = 128;

/** Unknown transport parameters kept for traces. Stops: memory by thousands of greased ones held for a connection's life. */
export const MAX_TRACED_PARAMETERS = 64;

/** Packets without anything ack-eliciting before a PING asks for an ACK. Stops: state of ACKs that nobody acknowledges. */
export const PACKETS_BEFORE_PING = 64;

/** Times that repeated handshake data of the peer's has ours sent again at once, rfc9002#6.2.3. Stops: provoked repeats. */
export const MAX_HANDSHAKE_SPEED_UPS = 8;

/** Tickets live a week at most, s: rfc8446#4.6.1. */
export const MAX_TICKET_LIFETIME = 604_800;
/** Our tickets' lifetime, s: a day bounds what a stolen ticket key opens. */
export const TICKET_LIFETIME = 86_400;
/** Tickets after a full handshake: one to resume with, one for a second connection at the same time. */
export const TICKETS_PER_HANDSHAKE = 2;
/** Ticket keys of our own making are replaced after this, ms, and open tickets as long as there are fewer than the next figure. */
export const TICKET_KEY_ROTATION = 12 * 3_600_000;
/** Keys that may open tickets: with the rotation above, those of a week. Stops: work per ticket by key lists. */
export const MAX_TICKET_KEYS = 15;
/** A ticket of ours, with the client's certificates in it. It returns in the ClientHello. Stops: handshakes of many datagrams. */
export const MAX_TICKET_LENGTH = 8192;
/** Pre-shared keys of one ClientHello that a server looks at. Stops: CPU and look-ups by lists of identities. */
export const MAX_PSK_IDENTITIES = 8;
/** Tickets a client takes from one connection. Stops: CPU and a full cache by ticket floods. */
export const MAX_TICKETS_TAKEN = 16;
/** The age a client claims for its ticket may differ by this from ours, ms: rfc8446#8.3. Stops: late replays of 0-RTT. */
export const TICKET_AGE_TOLERANCE = 10_000;
/**
 * Tickets used for 0-RTT that a replay filter in memory knows, each for twice the tolerance: some 3,000 clients a second. Beyond
 * that 0-RTT is refused, and the handshake goes on. Stops: memory by 0-RTT floods; it must not forget, which would let replays in.
 */
export const MAX_REPLAY_ENTRIES = 65_536;
/** Servers whose sessions the client's cache keeps, and how many of each. Stops: memory by dialing many servers. */
export const SESSION_CACHE_SERVERS = 256;
export const SESSIONS_PER_SERVER = 4;
