/** `shim.config.yaml`, from the file to the running configuration. */
import { isWildcard } from './address.ts';
import { ConfigError, type Address, type Config, type ConfigIssue, type DeviceStoreConfig } from './config.ts';
import { buildAdmin } from './admin.ts';
import { buildAudit } from './audit.ts';
import { buildCallers } from './callers.ts';
import { providersOf, type ClaimRules } from './claim-rules.ts';
import { issuesOf, readCallersFile, type CallersPlace } from './callers-file.ts';
import { readDocument } from './document.ts';
import { buildDeviceStore, buildGatewayAuth } from './gateway.ts';
import { bareHost, buildHop } from './hop.ts';
import { buildIntrospection } from './introspection.ts';
import { buildIssuers } from './issuers.ts';
import { warnOfIntrospection, warnOfIssuers } from './issuer-warnings.ts';
import { buildListen, buildProbes, socketPath } from './listen.ts';
import { buildCallerLimits, buildLimitStore } from './limits.ts';
import { createReport, toIssues, type Path, type Report } from './report.ts';
import { buildRoutes } from './routes.ts';
import { rawConfig, type RawConfig } from './schema.ts';
import { checkShape, type Sound } from './shape.ts';
import { fitsTimer, parseDuration, parseSize } from './units.ts';
import { hasRelays, warn, type WhoCalls } from './warnings.ts';
import { readFaultWords, resolvePath, type ConfigWorld } from './world.ts';

const KIB = 1024;
const DEFAULT_BODY = 20 * KIB * KIB;
const DEFAULT_HEADER_BYTES = 16 * KIB;
/** Less, and an SDK's own headers do not fit; more, and each waiting connection can hold that much. */
const HEADER_BYTES = { least: KIB, most: 64 * KIB } as const;

export interface LoadedConfig {
  readonly config: Config;
  readonly warnings: readonly ConfigIssue[];
}

/**
 * @param file path of the configuration file; relative paths in it start in its folder
 * @param world files, variables, home folder and clock
 * @returns the configuration to run, and what deserves a word
 * @throws ConfigError with every fault at once
 */
export async function loadConfig(file: string, world: ConfigWorld): Promise<LoadedConfig> {
  return parseConfig(file, readText(file, world), world);
}

/**
 * @param file its name, for the errors and for relative paths
 * @param text the file's content
 * @param world as for `loadConfig`
 * @returns as `loadConfig`
 * @throws ConfigError with every fault at once
 */
export async function parseConfig(file: string, text: string, world: ConfigWorld): Promise<LoadedConfig> {
  const { config, place, issues, report, document } = await examine(file, text, world);
  const faults = [...toIssues(report.findings, document), ...issues()];
  refuseFaults(file, faults);
  // Without a fault every section was built.
  if (config === undefined) throw new ConfigError(file, [fault('the configuration is incomplete')]);
  warn(config, world.now, report, place?.report ?? report);
  warnOfIssuers(config.issuers, report);
  if (config.introspection) warnOfIntrospection(config.introspection, report);
  return { config, warnings: [...toIssues(report.findings, document), ...issues()] };
}

/**
 * The callers alone, for the commands that edit them: they run where the gateway's secret need not be.
 *
 * @param file its name, for the errors and for relative paths
 * @param text the file's content
 * @param world as for `loadConfig`
 * @returns the callers, in their order, and the file that they stand in
 * @throws ConfigError with every fault of the text; a variable that is not set here, or a secret's file, is none
 */
export async function parseCallers(file: string, text: string, world: ConfigWorld): Promise<CallersPlace> {
  const examined = await examine(file, text, world);
  refuseFaultsOfText(file, examined);
  const { place, callers, report, document } = examined;
  return place ?? { callers, file, text, document, report };
}

/** Where device identities are kept, and whose they can be. */
export interface DevicesPlace {
  /** The names of `callers`, of `issuers` and of `introspection`. */
  readonly names: readonly string[];
  readonly deviceStore: DeviceStoreConfig | undefined;
}

/**
 * For the commands about devices: they run where the gateway's secret need not be.
 *
 * @param file path of the configuration file
 * @param world as for `loadConfig`
 * @returns what concerns devices
 * @throws ConfigError as `parseCallers`
 */
export async function loadDevices(file: string, world: ConfigWorld): Promise<DevicesPlace> {
  const examined = await examine(file, readText(file, world), world);
  refuseFaultsOfText(file, examined);
  const { raw, named } = examined;
  const { callers, issuers, introspection } = named;
  const providers = providersOf<ClaimRules>({ issuers, introspection });
  const names = [...callers, ...providers].map(({ name }) => name);
  return { names, deviceStore: buildDeviceStore(raw.gateway?.deviceStore, file, world) };
}

function readText(file: string, world: ConfigWorld): string {
  try {
    return world.readFile(file);
  } catch (error) {
    throw new ConfigError(file, [fault(`the configuration ${readFaultWords(error)}`)]);
  }
}

async function examine(file: string, text: string, world: ConfigWorld) {
  const document = readDocument(file, text);
  const report = createReport();
  const raw = checkShape(rawConfig, document.tree, report);
  const limits = buildCallerLimits(raw.limits?.default, {}, ['limits', 'default'], report);
  const context = { limits, now: world.now, mode: raw.gateway?.auth?.mode };
  const apart =
    raw.callersFile === undefined ? undefined : readCallersFile(raw.callersFile, context, { file, world, report });
  if (apart && raw.callers) report.error(['callersFile'], 'callers stand either here or in a file of their own', 'key');
  const place = apart && 'callers' in apart ? apart : undefined;
  const callers = place?.callers ?? buildCallers(raw.callers ?? [], context, report);
  const source = { file, world, report };
  const issuers = await buildIssuers(raw.issuers ?? [], { ...context, callers }, source);
  const introspection =
    raw.introspection &&
    (await buildIntrospection(
      raw.introspection,
      {
        ...context,
        owners: [...callers, ...issuers.map(({ name, policy }) => ({ name, sessionPrefix: policy.sessionPrefix }))],
        issuers: new Set(issuers.map(({ name }) => name)),
      },
      source,
    ));
  const named = { callers, issuers, ...(introspection && { introspection }) };
  const config = await buildConfig(raw, named, source);
  const issues = (): readonly ConfigIssue[] => (place ? issuesOf(place) : ((apart as readonly ConfigIssue[]) ?? []));
  return { raw, config, named, callers, place, issues, report, document };
}

/** What is wrong outside of the text, such as a variable that is not set, may be right where the shim runs. */
function refuseFaultsOfText(file: string, { report, document, issues }: Awaited<ReturnType<typeof examine>>): void {
  const inText = report.findings.filter(({ path, outside }) => outside !== true || path[0] === 'callersFile');
  refuseFaults(file, [...toIssues(inText, document), ...issues()]);
}

function refuseFaults(file: string, issues: readonly ConfigIssue[]): void {
  const faults = issues.filter(({ level }) => level === 'error');
  if (faults.length > 0) throw new ConfigError(file, faults);
}

function fault(message: string): ConfigIssue {
  return { level: 'error', path: '', message };
}

interface Source {
  readonly file: string;
  readonly world: ConfigWorld;
  readonly report: Report;
}

/** Every section is looked at, whatever is wrong with the others. */
async function buildConfig(raw: Sound<RawConfig>, named: WhoCalls, source: Source): Promise<Config | undefined> {
  const { file, world, report } = source;
  const { listen, certificates } = await buildListen(raw.listen ?? {}, source);
  const hop = await buildHop(raw.gateway ?? {}, source);
  const auth = await buildGatewayAuth(raw.gateway?.auth ?? {}, source);
  const store = buildLimitStore(raw.limits, source);
  const { admin, certificates: adminCertificates } = await buildAdmin(raw.admin, source);
  const config = {
    listen,
    ...named,
    certificates: [...certificates, ...adminCertificates, ...(hop?.certificates ?? [])],
    ...buildRoutes(raw.routes ?? [], source, raw.gateway?.auth?.mode),
    limits: {
      body: size(raw.limits?.body, DEFAULT_BODY),
      headerBytes: size(raw.limits?.headerBytes, DEFAULT_HEADER_BYTES),
      connections: raw.limits?.connections,
      ...(store && { store }),
    },
    stream: {
      heartbeat: duration(raw.stream?.heartbeat, 15_000, ['stream', 'heartbeat'], report),
      gatewayIdle: duration(raw.stream?.gatewayIdle, 0, ['stream', 'gatewayIdle'], report),
      endAtExpiry: raw.stream?.endAtExpiry,
    },
    drain: {
      delay: duration(raw.drain?.delay, 0, ['drain', 'delay'], report),
      timeout: duration(raw.drain?.timeout, 30_000, ['drain', 'timeout'], report),
    },
    audit: buildAudit(raw.audit, file, world, report),
    admin,
    probes: buildProbes(raw.probes, report),
    control: buildControl(raw.control, source),
  };
  const { headerBytes, body } = config.limits;
  if (headerBytes < HEADER_BYTES.least || headerBytes > HEADER_BYTES.most) {
    report.error(['limits', 'headerBytes'], 'expected a size from 1KiB to 64KiB');
  }
  if (body < 1) report.error(['limits', 'body'], 'expected at least one byte');
  refuseSharedPorts(config, hop?.origin, report);
  refuseSharedAuthority(config, report);
  const deviceStore = buildDeviceStore(raw.gateway?.deviceStore, file, world);
  if (raw.gateway?.auth?.mode === 'shim') {
    if (deviceStore !== undefined) {
      report.error(
        ['gateway', 'deviceStore'],
        'with mode "shim" the shim beside the gateway keeps the device identities',
        'key',
      );
    }
  } else if (hasRelays(named) && raw.gateway && deviceStore === undefined) {
    report.error(
      ['gateway', 'deviceStore'],
      `"websocket: relay" needs it: a folder for the device identities, such as devices, or memory`,
    );
  }
  if (hop === undefined || auth === undefined) return undefined;
  const { origin, beyondLoopback, tls } = hop;
  return {
    ...config,
    gateway: { origin, beyondLoopback, auth, ...(tls && { tls }), ...(deviceStore && { deviceStore }) },
  };
}

function buildControl(raw: Sound<RawConfig>['control'], { file, world, report }: Source): Config['control'] {
  if (raw?.socket === undefined) return undefined;
  return { socket: socketPath(resolvePath(raw.socket, file, world.home), ['control', 'socket'], report) };
}

/** Two of them on one port: the second cannot listen, or the shim would call itself. */
function refuseSharedPorts(
  config: Pick<Config, 'listen' | 'admin' | 'probes'>,
  origin: string | undefined,
  report: Report,
): void {
  const { probes, listen } = config;
  const [callers, admin] = [listen.address, config.admin?.address].map((one) =>
    one && 'host' in one ? one : undefined,
  );
  const gateway = origin === undefined ? undefined : new URL(origin);
  const behind = gateway && {
    host: bareHost(gateway),
    port: Number(gateway.port || (gateway.protocol === 'https:' ? 443 : 80)),
  };
  if (meet(admin, callers)) report.error(['admin', 'port'], 'the admin listener has the port of the public one');
  if (meet(probes, callers))
    report.error(['probes', 'port'], 'the listener of the probes has the port of the public one');
  if (meet(probes, admin))
    report.error(['probes', 'port'], 'the listener of the probes has the port of the admin listener');
  if (meet(callers, behind)) report.error(['gateway', 'url'], 'this is the address that the shim itself listens on');
  for (const own of [admin, probes]) {
    if (meet(own, behind)) report.error(['gateway', 'url'], 'this is the address of a listener of the shim itself');
  }
}

/** Whoever an authority vouches for may look; callers may not, just because one authority made all certificates. */
function refuseSharedAuthority({ listen, admin }: Pick<Config, 'listen' | 'admin'>, report: Report): void {
  if (admin?.tokenHash !== undefined) return;
  const [callers = [], operators = []] = [listen, admin].map((one) => one?.tls?.client?.ca.split(/(?=-----BEGIN )/));
  if (operators.some((certificate) => callers.includes(certificate))) {
    report.error(
      ['admin', 'tls', 'clientCa'],
      'listen.tls.clientCa has this authority too: every caller with a certificate could look. Use one of its own, or set admin.token',
    );
  }
}

function meet(one: Address | undefined, other: Address | undefined): boolean {
  if (!one || !other || one.port === 0 || one.port !== other.port) return false;
  const loose = [one.host, other.host].some((host) => isWildcard(host) || host === 'localhost');
  return loose || one.host === other.host;
}

function size(raw: string | number | undefined, standard: number): number {
  return (typeof raw === 'string' ? parseSize(raw) : raw) ?? standard;
}

function duration(raw: string | number | undefined, standard: number, path: Path, report: Report): number {
  const milliseconds = (typeof raw === 'string' ? parseDuration(raw) : raw) ?? standard;
  if (!fitsTimer(milliseconds)) report.error(path, 'expected at most 24d');
  return milliseconds;
}
