/** `auth-shim init`: writes a configuration to start from. */
import { hash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { isAbsolute, relative, resolve } from 'node:path';
import { isPlaceholder } from '../config/placeholder.ts';
import { parseGatewayFile, type GatewayFile } from '../config/openclaw.ts';
import { configTemplate, STANDARD_CHOICES, type TemplateChoices } from '../config/template.ts';
import { disk, readFaultWords } from '../config/world.ts';
import { readBearer } from '../headers/bearer.ts';
import { EXIT } from './exit.ts';
import type { World } from './world.ts';

export interface InitOptions {
  /** The file to write, as the user calls it. */
  readonly config: string;
  /** The gateway's own configuration file. */
  readonly from?: string | undefined;
  /** Callers go on with the gateway's token, on the gateway's port. */
  readonly keepToken?: boolean | undefined;
  readonly force?: boolean | undefined;
}

const GATEWAY_PORT = 18789;
const TOKEN_VARIABLE = 'OPENCLAW_GATEWAY_TOKEN';

/** What stands in the way, in words for the user. */
class InitError extends Error {}

/**
 * @param world streams, environment, folders
 * @param options what the command line says
 * @returns 0 when the file was written; 1 when there is one already, or the gateway's file does not serve
 */
export async function runInit(world: World, options: InitOptions): Promise<number> {
  const name = options.config;
  try {
    const file = options.from === undefined ? undefined : await readGatewayFile(world, options.from);
    let choices = file && options.from !== undefined ? choicesFrom(world, options.from, file) : STANDARD_CHOICES;
    if (options.keepToken) choices = keepToken(world, choices, file);
    write(resolve(world.cwd, name), name, configTemplate(choices), options.force ?? false);
    world.stderr(`${name} is written.\n${nextSteps(choices)}`);
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof InitError)) throw error;
    world.stderr(`${error.message}\n`);
    return EXIT.no;
  }
}

async function readGatewayFile(world: World, from: string): Promise<GatewayFile> {
  let text: string;
  try {
    text = disk.readFile(resolve(world.cwd, from));
  } catch (error) {
    throw new InitError(`${from} ${readFaultWords(error)}`);
  }
  try {
    return await parseGatewayFile(text);
  } catch {
    // The parser quotes what it found: perhaps the secret.
    throw new InitError(`${from} is not JSON5`);
  }
}

function choicesFrom(world: World, from: string, file: GatewayFile): TemplateChoices {
  const { port = GATEWAY_PORT } = file;
  // Without a mode the gateway takes what it finds a secret for.
  const found = file.token === undefined && file.password !== undefined ? 'password' : 'token';
  const mode = typeof file.mode === 'string' ? file.mode : found;
  if (typeof port !== 'number' || !Number.isInteger(port) || port < 1 || port > 65_534) {
    throw new InitError(`${from}: gateway.port is no port`);
  }
  const secret = `secret: { openclaw: ${JSON.stringify(homePath(resolve(world.cwd, from), world))} }`;
  switch (mode) {
    case 'token':
    case 'password':
      return { ...STANDARD_CHOICES, ...ports(port), auth: [`mode: ${mode}`, secret] };
    case 'none':
      return { ...STANDARD_CHOICES, ...ports(port), auth: ['mode: none'] };
    case 'trusted-proxy':
      return {
        ...STANDARD_CHOICES,
        ...ports(port),
        auth: [
          'mode: trusted-proxy',
          "userHeader: { env: OPENCLAW_USER_HEADER } # the name in the gateway's trustedProxy.userHeader, or that name itself",
          "# requiredHeaders: { x-example: '1' } # what its trustedProxy.requiredHeaders asks for beyond X-Forwarded-*",
        ],
      };
    default:
      throw new InitError(`${from}: gateway.auth.mode ${JSON.stringify(mode)} is not supported by this version`);
  }
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

function keepToken(world: World, choices: TemplateChoices, file: GatewayFile | undefined): TemplateChoices {
  const token = file
    ? file.mode === 'password'
      ? file.password
      : (file.token ?? file.password)
    : world.env[TOKEN_VARIABLE];
  const named = typeof token === 'string' ? (/^\$\{(\w+)\}$/.exec(token)?.[1] ?? undefined) : undefined;
  const value = named === undefined ? token : world.env[named];
  if (typeof value !== 'string' || value === '') {
    throw new InitError(
      file
        ? "the gateway's file holds no token or password as a text to keep"
        : `set ${TOKEN_VARIABLE} to the gateway's present token, or name its file with --from`,
    );
  }
  if (isPlaceholder(value) || typeof readBearer(`Bearer ${value}`) === 'string') {
    throw new InitError(
      "the gateway's present token cannot be kept: it is a placeholder, or not 24 to 512 characters of A-Z a-z 0-9 - . _ ~ + /",
    );
  }
  const { gatewayPort } = choices;
  return {
    ...choices,
    listenPort: gatewayPort,
    gatewayPort: gatewayPort + 1,
    keptHash: hash('sha256', value),
    notes: [
      `The shim has the gateway's port, so that callers need not change. Move the gateway to ${gatewayPort + 1}:`,
      `  openclaw config set gateway.port ${gatewayPort + 1}`,
      'and start it again before the shim. (By hand: "gateway.port" in ~/.openclaw/openclaw.json.)',
    ],
  };
}

function write(path: string, name: string, text: string, force: boolean): void {
  try {
    writeFileSync(path, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EEXIST') throw new InitError(`${name} exists; --force writes over it`);
    throw new InitError(`${name} cannot be written (${String(code)})`);
  }
}

function nextSteps({ auth, keptHash, gatewayPort }: TemplateChoices): string {
  const secret = auth.some((line) => line.includes(TOKEN_VARIABLE))
    ? [`export ${TOKEN_VARIABLE}=…  the gateway's token`]
    : [];
  const caller = keptHash === undefined ? ['auth-shim token new NAME --scope operator.write'] : [];
  const move =
    keptHash === undefined ? [] : [`openclaw config set gateway.port ${gatewayPort}  and start the gateway again`];
  return [
    'Next:',
    ...[...secret, ...move, ...caller, 'auth-shim check', 'auth-shim serve'].map((step) => `  ${step}`),
    '',
  ].join('\n');
}
