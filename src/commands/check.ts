/** `auth-shim check`: whether the configuration can run, and what deserves a word. */
import { resolve } from 'node:path';
import { ConfigError, formatIssue, type Config, type ConfigIssue } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { hasRelays, LOCAL_PASSWORD_RELEASES } from '../config/warnings.ts';
import { configWorld } from './config-world.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

export interface CheckOptions {
  /** The configuration, as the user calls it. */
  readonly config: string;
  /** The issues on stdout, as JSON. */
  readonly json?: boolean | undefined;
  /** Print the JSON Schema of the configuration instead. */
  readonly schema?: boolean | undefined;
}

/**
 * @param world streams, environment, clock
 * @param options what the command line says
 * @returns 0 when it can run (warnings go to stderr), 78 when it cannot
 */
export async function runCheck(world: World, options: CheckOptions): Promise<number> {
  if (options.schema) {
    const { configJsonSchema } = await import('../config/json-schema.ts');
    world.stdout(`${JSON.stringify(configJsonSchema(), null, 2)}\n`);
    return EXIT.ok;
  }
  const name = options.config;
  try {
    const { config, warnings: words } = await loadConfig(name, configWorld(world));
    const warnings = [...words, ...(await deviceFaults(world, config))];
    if (options.json) writeJson(world, name, true, warnings);
    else {
      world.stdout(`${name}: ok, ${summary(config)}\n`);
      for (const issue of warnings) world.stderr(`warning: ${formatIssue(name, issue)}\n`);
    }
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (options.json) writeJson(world, name, false, error.issues);
    else world.stderr(`${error.message}\n`);
    return EXIT.config;
  }
}

/** What a relay would find in the folder of its devices, at a caller's connect and not before. */
async function deviceFaults({ cwd }: World, config: Config): Promise<ConfigIssue[]> {
  const { deviceStore } = config.gateway;
  if (!hasRelays(config) || deviceStore === undefined || deviceStore === 'memory') return [];
  const { openDeviceStore, ownUser } = await import('../gateway/device-store.ts');
  const { faults } = await openDeviceStore({ folder: resolve(cwd, deviceStore.folder) }, { owner: ownUser() }).list();
  return faults.map(({ message }) => ({ level: 'warning', path: 'gateway.deviceStore', message }));
}

function summary(config: Config): string {
  const { callers, issuers, introspection, gateway } = config;
  const counts = [
    countOf(callers, 'caller'),
    ...(issuers.length > 0 ? [countOf(issuers, 'issuer')] : []),
    ...(introspection ? ['introspection'] : []),
  ].join(', ');
  return `${counts}, gateway ${gateway.origin} (${gateway.auth.mode})${relayWords(config)}${tlsWords(config)}`;
}

function countOf({ length }: readonly unknown[], what: string): string {
  return `${length} ${what}${length === 1 ? '' : 's'}`;
}

/** Until when the shim can show its own certificates, to callers and to the gateway. */
function tlsWords({ listen, certificates }: Config): string {
  const until = (key: string): string | undefined => {
    const end = certificates.find((certificate) => certificate.key === key)?.notAfter;
    return end === undefined ? undefined : new Date(end).toISOString().slice(0, 10);
  };
  const own = until('listen.tls.cert');
  const client = until('gateway.tls.cert');
  const asked = { require: ', client certificates required', accept: ', client certificates accepted' };
  return [
    own === undefined ? '' : `, TLS on the listener until ${own}`,
    listen.tls?.client ? asked[listen.tls.client.auth] : '',
    client === undefined ? '' : `, certificate for the gateway until ${client}`,
  ].join('');
}

/** How WebSockets get past a gateway that wants to be told of its callers by a proxy; without a password it is a warning. */
function relayWords(config: Config): string {
  const { auth } = config.gateway;
  if (!hasRelays(config) || auth.mode !== 'trusted-proxy' || auth.password === undefined) return '';
  return `, WebSockets relayed with its local password and no forwarded headers (${LOCAL_PASSWORD_RELEASES})`;
}

function writeJson(world: World, file: string, ok: boolean, issues: readonly ConfigIssue[]): void {
  world.stdout(`${JSON.stringify({ file, ok, issues }, null, 2)}\n`);
}
