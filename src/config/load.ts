/** `shim.config.yaml`, from the file to the running configuration. */
import type { Caller } from '../types.ts';
import { isIP } from 'node:net';
import { isLoopback } from './address.ts';
import { ConfigError, type Config, type ConfigIssue } from './config.ts';
import { buildCallers } from './callers.ts';
import { readDocument, type ConfigDocument } from './document.ts';
import { buildGatewayAuth, parseGatewayUrl } from './gateway.ts';
import { buildAdmin, buildListen, isLoopbackHost } from './listen.ts';
import { buildCallerLimits, buildLimitStore } from './limits.ts';
import { createReport, formatPath, type Finding, type Path, type Report } from './report.ts';
import { buildRoutes } from './routes.ts';
import type { RawConfig } from './schema.ts';
import { checkShape, type Sound } from './shape.ts';
import { fitsTimer, parseDuration, parseSize } from './units.ts';
import { warn } from './warnings.ts';
import { readFaultWords, type ConfigWorld } from './world.ts';

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
  let text: string;
  try {
    text = world.readFile(file);
  } catch (error) {
    throw new ConfigError(file, [{ level: 'error', path: '', message: `the configuration ${readFaultWords(error)}` }]);
  }
  return parseConfig(file, text, world);
}

/**
 * @param file its name, for the errors and for relative paths
 * @param text the file's content
 * @param world as for `loadConfig`
 * @returns as `loadConfig`
 * @throws ConfigError with every fault at once
 */
export async function parseConfig(file: string, text: string, world: ConfigWorld): Promise<LoadedConfig> {
  const { config, report, document } = await examine(file, text, world);
  refuseFaults(file, report, document, () => true);
  // Without a fault every section was built.
  if (config === undefined)
    throw new ConfigError(file, [{ level: 'error', path: '', message: 'the configuration is incomplete' }]);
  warn(config, world.now, report);
  return { config, warnings: toIssues(report.findings, document) };
}

/**
 * The callers alone, for the commands that edit them: they run where the gateway's secret need not be.
 *
 * @param file its name, for the errors and for relative paths
 * @param text the file's content
 * @param world as for `loadConfig`
 * @returns the callers, in their order
 * @throws ConfigError with every fault of the text; a variable that is not set here, or a file, is none
 */
export async function parseCallers(file: string, text: string, world: ConfigWorld): Promise<readonly Caller[]> {
  const { callers, report, document } = await examine(file, text, world);
  refuseFaults(file, report, document, ({ outside }) => outside !== true);
  return callers;
}

async function examine(file: string, text: string, world: ConfigWorld) {
  const document = readDocument(file, text);
  const report = createReport();
  const raw = checkShape(document.tree, report);
  const limits = buildCallerLimits(raw.limits?.default, {}, ['limits', 'default'], report);
  const callers = buildCallers(raw.callers ?? [], limits, report);
  const config = await buildConfig(raw, callers, { file, world, report });
  return { config, callers, report, document };
}

function refuseFaults(
  file: string,
  report: Report,
  document: ConfigDocument,
  counts: (finding: Finding) => boolean,
): void {
  const faults = report.findings.filter((finding) => finding.level === 'error' && counts(finding));
  if (faults.length > 0) throw new ConfigError(file, toIssues(faults, document));
}

interface Source {
  readonly file: string;
  readonly world: ConfigWorld;
  readonly report: Report;
}

/** Every section is looked at, whatever is wrong with the others. */
async function buildConfig(
  raw: Sound<RawConfig>,
  callers: readonly Caller[],
  source: Source,
): Promise<Config | undefined> {
  const { file, world, report } = source;
  const listen = buildListen(raw.listen ?? {}, file, world, report);
  const origin = await buildOrigin(raw, source);
  const auth = await buildGatewayAuth(raw.gateway?.auth ?? {}, source);
  const admin = buildAdmin(raw.admin, report);
  const store = buildLimitStore(raw.limits, source);
  const config = {
    listen,
    callers,
    ...buildRoutes(raw.routes ?? [], source),
    limits: {
      body: size(raw.limits?.body, DEFAULT_BODY),
      headerBytes: size(raw.limits?.headerBytes, DEFAULT_HEADER_BYTES),
      connections: raw.limits?.connections ?? 10_000,
      ...(store && { store }),
    },
    stream: {
      heartbeat: duration(raw.stream?.heartbeat, 15_000, ['stream', 'heartbeat'], report),
      gatewayIdle: duration(raw.stream?.gatewayIdle, 0, ['stream', 'gatewayIdle'], report),
    },
    drain: { timeout: duration(raw.drain?.timeout, 30_000, ['drain', 'timeout'], report) },
    admin,
  };
  const { headerBytes, body } = config.limits;
  if (headerBytes < HEADER_BYTES.least || headerBytes > HEADER_BYTES.most) {
    report.error(['limits', 'headerBytes'], 'expected a size from 1KiB to 64KiB');
  }
  if (body < 1) report.error(['limits', 'body'], 'expected at least one byte');
  refuseSharedPorts(config, origin, report);
  return origin === undefined || auth === undefined ? undefined : { ...config, gateway: { origin, auth } };
}

/** A name is looked up here for a word at start; what it resolves to later is checked at every connect. */
async function buildOrigin(raw: Sound<RawConfig>, { world, report }: Source): Promise<string | undefined> {
  const url = raw.gateway?.url;
  if (url === undefined) return undefined;
  const parsed = parseGatewayUrl(url);
  if ('fault' in parsed) {
    report.error(['gateway', 'url'], parsed.fault);
    return undefined;
  }
  const host = bare(new URL(parsed.origin));
  const addresses = isIP(host) === 0 ? ((await world.resolve?.(host)) ?? []) : [];
  const beyond = addresses.find((address) => !isLoopback(address));
  if (beyond !== undefined) {
    report.error(
      ['gateway', 'url'],
      `${host} resolves to ${beyond}, which is beyond loopback: the gateway's secret would cross the network in the clear`,
    );
  }
  return parsed.origin;
}

/** Two of the three on one port: the second cannot listen, or the shim would call itself. */
function refuseSharedPorts(
  { listen: { address }, admin }: Pick<Config, 'listen' | 'admin'>,
  origin: string | undefined,
  report: Report,
): void {
  if ('socket' in address) return;
  const everywhere = !isLoopbackHost(address.host);
  const meets = (host: string): boolean =>
    everywhere || host === address.host || [host, address.host].includes('localhost');
  if (admin && admin.port !== 0 && admin.port === address.port && meets(admin.host)) {
    report.error(['admin', 'port'], 'the admin listener has the port of the public one');
  }
  const gateway = origin === undefined ? undefined : new URL(origin);
  if (gateway && Number(gateway.port || 80) === address.port && isLoopbackHost(bare(gateway)) && meets(bare(gateway))) {
    report.error(['gateway', 'url'], 'this is the address that the shim itself listens on');
  }
}

function bare(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

function size(raw: string | number | undefined, standard: number): number {
  return (typeof raw === 'string' ? parseSize(raw) : raw) ?? standard;
}

function duration(raw: string | number | undefined, standard: number, path: Path, report: Report): number {
  const milliseconds = (typeof raw === 'string' ? parseDuration(raw) : raw) ?? standard;
  if (!fitsTimer(milliseconds)) report.error(path, 'expected at most 24d');
  return milliseconds;
}

function toIssues(findings: readonly Finding[], document: ConfigDocument): ConfigIssue[] {
  return findings
    .map(({ level, path, message, atKey }): ConfigIssue => ({
      level,
      message,
      path: formatPath(path),
      ...document.locate(path, atKey && 'key'),
    }))
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
}
