/** What `init` takes from the gateway's own file: port, mode, where its secret is, and what cannot be taken. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { isLoopback, isWildcard } from '../config/address.ts';
import { fingerprintOf } from '../config/certificate-names.ts';
import { variableName, type GatewayFile } from '../config/openclaw.ts';
import { STANDARD_CHOICES, type TemplateChoices } from '../config/template.ts';
import { disk } from '../config/world.ts';
import { foldName } from '../headers/families.ts';
import { isStandardHeader } from '../headers/standard.ts';
import type { World } from './world.ts';

const GATEWAY_PORT = 18789;

/** What stands in the way, in words for the user. */
export class InitError extends Error {}

/** What is written, and what the user is told of it. */
export interface InitPlan {
  readonly choices: TemplateChoices;
  /** What the file says and the configuration cannot. */
  readonly warnings: readonly string[];
  /** Variables that the configuration refers to: `NAME=…  what it is`. */
  readonly variables: readonly string[];
}

/**
 * @param world its folders
 * @param from the gateway's file, as the user calls it
 * @param file what it says
 * @returns the plan
 * @throws InitError for a gateway that the shim cannot reach or does not know
 */
export function planFrom(world: World, from: string, file: GatewayFile): InitPlan {
  const { port = GATEWAY_PORT } = file;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new InitError(`${from}: gateway.port is no port`);
  }
  const { lines, variables } = authOf(world, from, file);
  const warnings = warningsOf(from, file);
  const choices = {
    ...STANDARD_CHOICES,
    ...ports(port),
    ...hostOf(file),
    ...(file.tls === true && { gatewayFingerprint: gatewayFingerprint(world, from, file) }),
    auth: lines,
    notes: warnings,
  };
  return { choices, warnings, variables };
}

/** The gateway's own certificate names no host: it is known by itself. Where none is configured it makes one at its start. */
function gatewayFingerprint(world: World, from: string, { tlsCertificate }: GatewayFile): string {
  const folder = dirname(resolve(world.cwd, from));
  const path =
    typeof tlsCertificate === 'string' ? resolve(folder, tlsCertificate) : join(folder, 'gateway/tls/gateway-cert.pem');
  try {
    return fingerprintOf(new X509Certificate(disk.readFile(path)));
  } catch (error) {
    const words =
      error instanceof Error && 'code' in error && error.code === 'ENOENT' ? 'does not exist' : 'cannot be read';
    throw new InitError(
      `${from}: gateway.tls.enabled is true, and its certificate ${path} ${words}: the gateway makes it at its start`,
    );
  }
}

interface Auth {
  readonly lines: readonly string[];
  readonly variables: readonly string[];
}

function authOf(world: World, from: string, file: GatewayFile): Auth {
  // Without a mode the gateway takes what it finds a secret for.
  const found = file.token === undefined && file.password !== undefined ? 'password' : 'token';
  const mode = typeof file.mode === 'string' ? file.mode : found;
  switch (mode) {
    case 'token':
    case 'password': {
      const path = JSON.stringify(homePath(resolve(world.cwd, from), world));
      return { lines: [`mode: ${mode}`, `secret: { openclaw: ${path} }`], variables: [] };
    }
    case 'none':
      return { lines: ['mode: none'], variables: [] };
    case 'trusted-proxy':
      return trustedProxy(from, file);
    default:
      throw new InitError(`${from}: gateway.auth.mode ${JSON.stringify(mode)} is not supported by this version`);
  }
}

/** What the shim sends in this mode anyhow. */
const SENT: ReadonlySet<string> = new Set(['host', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host']);

/** Names that are secrets are not copied; of required headers the gateway asks only that they are there. */
function trustedProxy(from: string, { userHeader, requiredHeaders }: GatewayFile): Auth {
  const variables: string[] = [];
  const nameOf = (header: unknown, variable: string, key: string): string => {
    const given = variableName(header);
    if (given === undefined && typeof header === 'string' && isStandardHeader(foldName(header))) return header;
    variables.push(`${given ?? variable}=…  the name at gateway.auth.trustedProxy.${key} of ${from}`);
    return `{ env: ${given ?? variable} }`;
  };
  const lines = ['mode: trusted-proxy', `userHeader: ${nameOf(userHeader, 'OPENCLAW_USER_HEADER', 'userHeader')}`];
  const seen = new Set([...SENT, foldName(String(userHeader))]);
  const items = (Array.isArray(requiredHeaders) ? (requiredHeaders as unknown[]) : []).flatMap((header, index) => {
    const folded = foldName(String(header));
    if (seen.has(folded)) return [];
    seen.add(folded);
    const name = nameOf(header, `OPENCLAW_REQUIRED_HEADER_${index + 1}`, `requiredHeaders[${index}]`);
    return [`  - { name: ${name}, value: '1' }`];
  });
  const required = ['requiredHeaders: # the gateway asks only that they are there', ...items];
  return { lines: items.length > 0 ? [...lines, ...required] : lines, variables };
}

function warningsOf(from: string, { includes, bind, customBindHost, allowUsers }: GatewayFile): string[] {
  const warnings: string[] = [];
  if (includes) warnings.push(`${from} has $include: port, mode and names that stand in other files were not read`);
  if (bind === 'lan' || (bind === 'custom' && isEverywhere(customBindHost))) {
    warnings.push(`gateway.bind of ${from} opens the gateway to the network, past the shim: make it "loopback"`);
  } else if (bind === 'tailnet' || (bind === 'custom' && customBindHost !== undefined && !isLocal(customBindHost))) {
    warnings.push(
      `gateway.bind of ${from} is not loopback, where alone the shim asks for the gateway: make it "loopback"`,
    );
  }
  if (Array.isArray(allowUsers) && allowUsers.length > 0) {
    warnings.push(`the gateway takes only the users of trustedProxy.allowUsers: callers need their names`);
  }
  return warnings;
}

function hostOf({ bind, customBindHost }: GatewayFile): Pick<TemplateChoices, 'gatewayHost'> {
  if (bind !== 'custom' || typeof customBindHost !== 'string' || !isLocal(customBindHost)) return {};
  return { gatewayHost: isIP(customBindHost) === 6 ? `[${customBindHost}]` : customBindHost };
}

function isLocal(host: unknown): boolean {
  return typeof host === 'string' && isLoopback(host);
}

function isEverywhere(host: unknown): boolean {
  return typeof host === 'string' && isWildcard(host);
}

/** As it is written in a configuration: `~` for what is in the home folder, else absolute. */
function homePath(path: string, world: World): string {
  const inside = relative(world.home, path);
  return inside === '' || inside.startsWith('..') || isAbsolute(inside) ? path : `~/${inside}`;
}

/** The shim's usual port, unless the gateway has it. */
function ports(gatewayPort: number): Pick<TemplateChoices, 'gatewayPort' | 'listenPort'> {
  const { listenPort } = STANDARD_CHOICES;
  return { gatewayPort, listenPort: gatewayPort === listenPort ? listenPort + 2 : listenPort };
}
