/** The configuration that `init` writes. The sample at the top level of the repository is this text. */

export interface TemplateChoices {
  readonly listenPort: number;
  /** Where the gateway listens on loopback, where it is not 127.0.0.1; with the brackets of a URL. */
  readonly gatewayHost?: string;
  readonly gatewayPort: number;
  /** SHA-256 of the gateway's own certificate, 64 hex digits, where it speaks TLS. */
  readonly gatewayFingerprint?: string;
  /** Lines under `gateway.auth:`, without their indentation. */
  readonly auth: readonly string[];
  /** Comment lines that stand above `gateway:`, without `#`. */
  readonly notes: readonly string[];
  /** A caller who goes on with the gateway's own token: its SHA-256, 64 hex digits. */
  readonly keptHash?: string;
}

export const STANDARD_CHOICES: TemplateChoices = {
  listenPort: 18780,
  gatewayPort: 18789,
  auth: [
    'mode: token',
    'secret: { env: OPENCLAW_GATEWAY_TOKEN } # or { file: PATH }, { openclaw: ~/.openclaw/openclaw.json }',
  ],
  notes: [],
};

/** The first that neither the gateway nor the shim's own listener has. */
const ADMIN_PORTS = [18781, 18783, 18784];

const EXAMPLE_HASH = 'the 64 hex digits that "auth-shim token new" writes';

/**
 * @param choices what differs from one installation to another
 * @returns the text of a commented configuration
 */
export function configTemplate(choices: TemplateChoices): string {
  const { listenPort, gatewayHost = '127.0.0.1', gatewayPort, gatewayFingerprint, auth, notes, keptHash } = choices;
  const scheme = gatewayFingerprint === undefined ? 'http' : 'https';
  const adminPort = ADMIN_PORTS.find((port) => port !== listenPort && port !== gatewayPort);
  return `# The configuration of openclaw-auth-shim. "auth-shim check" says whether it can run.
# Every key but "gateway" may be left out; what is commented out shows the default or an example.

# Where callers connect.
listen:
  host: 127.0.0.1
  port: ${listenPort}
  # tls: { cert: tls/server.crt, key: tls/server.key, clientCa: tls/ca.crt } # needed beyond this machine; clientCa asks for client certificates
  # hosts: [shim.example] # names that "Host" may have, beside localhost and the loopback addresses
  # origins: [https://app.example] # web pages that may call; none by default
  # health: true # open the gateway's /health and /healthz without a token
  # trustedProxies: [10.0.0.0/8] # proxies before the shim whose X-Forwarded-For is believed
  # websocket: { firstFrameToken: true, subprotocolToken: true } # for WebSocket clients that cannot set a header; off by default

${notes.map((line) => `# ${line}\n`).join('')}# The gateway, and how it authenticates the shim: its own gateway.auth.mode.
# Secrets are references, never written here.
gateway:
  url: ${scheme}://${gatewayHost}:${gatewayPort}
  auth:
${auth.map((line) => `    ${line}\n`).join('')}${gatewayTls(gatewayFingerprint)}
  # deviceStore: devices # where the keys of callers with a WebSocket are kept: a folder, or memory

# Who may call. "auth-shim token new NAME --scope operator.write" adds one and prints the token once.
${keptHash === undefined ? emptyCallers() : keptCaller(keptHash)}
# Routes beyond the default table, and default routes to close.
# routes:
#   - { method: POST, path: /hooks/wake, scope: operator.write, hooksToken: { env: OPENCLAW_HOOKS_TOKEN } }
#   - { method: POST, path: /v1/embeddings, expose: false }

# callersFile: callers.yaml # callers apart, such as in a mounted secret; then not here

# limits:
#   body: 20MiB
#   headerBytes: 16KiB
#   connections: 10000
#   default: { requestsPerMinute: 60, burst: 30, requestsPerDay: 10000, streams: 4 } # of each caller; none by default
#   store: memory # or { redis: { env: REDIS_URL } }, where replicas count together
#   onStoreFailure: local # with redis: each replica counts alone while it is down; or refuse
# stream: { heartbeat: 15s, gatewayIdle: 0, endAtExpiry: true } # gatewayIdle 0: a run may be silent for hours
# drain: { delay: 0, timeout: 30s } # after SIGTERM: not ready, then time for running requests
# audit: { file: audit.jsonl, maxSize: 64MiB, keep: 5, required: false } # or { stdout: true }; none by default

# The status page at /, /livez, /readyz, /startupz and /metrics, for operators of this machine; never on the public listener.
admin:
  host: 127.0.0.1
  port: ${adminPort}
# probes: { port: 18782 } # the same health for a kubelet, on every address: a status and no more
# control: { socket: control.sock } # for "auth-shim shutdown"
`;
}

function gatewayTls(fingerprint: string | undefined): string {
  return fingerprint === undefined
    ? '  # tls: { ca: tls/ca.crt, cert: tls/client.crt, key: tls/client.key } # with https: in url'
    : `  tls: { fingerprint: "sha256:${fingerprint}" } # the gateway's own certificate, and no other`;
}

function emptyCallers(): string {
  return `callers: []
#  - name: agentpage
#    tokens:
#      - hash: sha256:... # ${EXAMPLE_HASH}
#        expires: 2027-01-31 # end of that day, UTC
#    scopes: [operator.read, operator.write]
#    agent: main # every run of this caller goes to this agent
#    sessionPrefix: "agent:main:agentpage:" # and every session key begins so
#    from: [10.20.0.0/16] # its tokens are valid from here alone
#    limits: { requestsPerMinute: 120, body: 1MiB } # before limits.default, key by key
#    unsafeReportOnly: { until: 2027-01-31 } # a missing scope is audited, not refused; 30 days at most
#  - name: web
#    certificates: [{ uri: "spiffe://cluster/ns/app/sa/web" }] # or { dns }, { fingerprint }; with listen.tls.clientCa
#    scopes: [operator.read]
#  - name: dashboard
#    scopes: [operator.read]
#    websocket: relay # it may open ws://.../, within its scopes; not beside agent, sessionPrefix and tools
#    denyMethods: [config.*] # what its frames may not ask; or allowMethods
`;
}

function keptCaller(hash: string): string {
  return `callers:
  # Temporary: whoever holds the gateway's token today goes on with it. Give each caller a token of its own,
  # then give the gateway a new secret and take this caller out.
  - name: existing
    tokens:
      - hash: sha256:${hash}
    scopes: [operator.read, operator.write]
`;
}
