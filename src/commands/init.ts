/** `auth-shim init`: writes a configuration to start from. */
import { hash } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { isPlaceholder } from '../config/placeholder.ts';
import { GatewayFileError, parseGatewayFile, variableName, type GatewayFile } from '../config/openclaw.ts';
import { configTemplate, STANDARD_CHOICES, type TemplateChoices } from '../config/template.ts';
import { disk, readFaultWords } from '../config/world.ts';
import { readBearer } from '../headers/bearer.ts';
import { EXIT } from './exit.ts';
import { InitError, planFrom, type InitPlan } from './init-plan.ts';
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

const TOKEN_VARIABLE = 'OPENCLAW_GATEWAY_TOKEN';
const HIGHEST_PORT = 65_535;

const STANDARD_PLAN: InitPlan = {
  choices: STANDARD_CHOICES,
  warnings: [],
  variables: [`${TOKEN_VARIABLE}=…  the gateway's token`],
};

/**
 * @param world streams, environment, folders
 * @param options what the command line says
 * @returns 0 when the file was written; 1 when there is one already, or the gateway's file does not serve
 */
export async function runInit(world: World, options: InitOptions): Promise<number> {
  const name = options.config;
  try {
    const file = options.from === undefined ? undefined : await readGatewayFile(world, options.from);
    const plan = file && options.from !== undefined ? planFrom(world, options.from, file) : STANDARD_PLAN;
    const choices = options.keepToken ? keepToken(world, plan.choices, file) : plan.choices;
    write(resolve(world.cwd, name), name, configTemplate(choices), options.force ?? false);
    world.stderr(`${name} is written.\n`);
    for (const warning of plan.warnings) world.stderr(`warning: ${warning}\n`);
    world.stderr(nextSteps(choices, plan.variables));
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
  } catch (error) {
    if (!(error instanceof GatewayFileError)) throw error;
    throw new InitError(`${from} ${error.message}`);
  }
}

function keepToken(world: World, choices: TemplateChoices, file: GatewayFile | undefined): TemplateChoices {
  const token = file
    ? file.mode === 'password'
      ? file.password
      : (file.token ?? file.password)
    : world.env[TOKEN_VARIABLE];
  const named = variableName(token);
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
  if (gatewayPort === HIGHEST_PORT) {
    throw new InitError(
      `the gateway's port ${HIGHEST_PORT} is the highest: it cannot move to the next one, so give it a lower one first`,
    );
  }
  return {
    ...choices,
    listenPort: gatewayPort,
    gatewayPort: gatewayPort + 1,
    keptHash: hash('sha256', value),
    notes: [
      ...choices.notes,
      `The shim has the gateway's port, so that callers need not change. Move the gateway to ${gatewayPort + 1}:`,
      `  openclaw config set gateway.port ${gatewayPort + 1}`,
      '  openclaw gateway install --force',
      'before the shim is started. (The service has a port of its own, so it is written anew; without a service, end the',
      'gateway and start it again. By hand: "gateway.port" in ~/.openclaw/openclaw.json.)',
    ],
  };
}

function write(path: string, name: string, text: string, force: boolean): void {
  try {
    writeFileSync(path, text, { flag: force ? 'w' : 'wx' });
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      throw new InitError(`${name} is a folder: name the file to write in it`);
    }
    if (code === 'EEXIST') throw new InitError(`${name} exists; --force writes over it`);
    throw new InitError(`${name} cannot be written (${String(code)})`);
  }
}

function nextSteps({ keptHash, listenPort, gatewayPort }: TemplateChoices, variables: readonly string[]): string {
  const exports = variables.map((variable) => `export ${variable}`);
  const caller = keptHash === undefined ? ['auth-shim token new NAME --scope operator.write'] : [];
  const move =
    keptHash === undefined
      ? []
      : [
          `openclaw config set gateway.port ${gatewayPort}`,
          'openclaw gateway install --force  or, without a service, end the gateway and start it again',
          `curl http://127.0.0.1:${listenPort}/healthz  must find nobody there any more`,
        ];
  return [
    'Next:',
    ...[...exports, ...move, ...caller, 'auth-shim check', 'auth-shim serve'].map((step) => `  ${step}`),
    '',
  ].join('\n');
}
