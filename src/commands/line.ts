/** The grammar of the command line. Each command is loaded only when it is run. */
import { Command, CommanderError, Option } from 'commander';
import { didYouMean } from '../config/suggest.ts';
import type { AuditSummaryOptions, AuditTailOptions } from './audit.ts';
import { EXIT } from './exit.ts';
import type { TlsInitOptions } from './tls.ts';
import type { World } from './world.ts';

const DEFAULT_CONFIG = 'shim.config.yaml';

interface TlsInitLine extends Pick<TlsInitOptions, 'days' | 'force' | 'json'> {
  readonly host: string[];
  readonly client: string[];
  readonly caller: string[];
}

interface WithConfig {
  readonly config: string;
}

interface ExplainWords {
  readonly as?: string;
  readonly token?: string;
  readonly header: string[];
  readonly websocket: boolean;
  readonly json?: boolean;
}

const EXPLAIN_EXAMPLES = `
Examples:
  auth-shim explain --as agentpage POST /v1/chat/completions
  auth-shim explain --token - < token.txt
  auth-shim explain --token - POST /v1/chat/completions < token.txt
Keys of an issuer are fetched as the shim does. Exit codes: 0 it would pass, 1 it would be refused.`;

const DOCTOR_WORDS = `
Nothing is changed at the gateway, and without --chat no run begins. docs/doctor.md explains each finding.
Exit codes: 0 no fault, 1 a fault, 78 a configuration that cannot run.`;

/**
 * @param world what commands are given
 * @param args the words after the program's name
 * @returns the exit code: 0 fine, 1 the answer is no, 2 usage, 78 a configuration that cannot run
 */
export async function runCommandLine(world: World, args: readonly string[]): Promise<number> {
  let code: number = EXIT.ok;
  /** Makes an action of a command; its exit code is the program's. */
  const exits =
    <A extends unknown[]>(run: (...words: A) => Promise<number>) =>
    async (...words: A): Promise<void> => {
      code = await run(...words);
    };
  const withConfig = (command: Command): Command =>
    command.option('-c, --config <file>', 'the configuration', world.env.AUTH_SHIM_CONFIG || DEFAULT_CONFIG);

  const program = new Command('auth-shim')
    .description('Lets headless callers use an unmodified OpenClaw gateway: a token and a scope for each.')
    .configureOutput({ writeOut: world.stdout, writeErr: world.stderr })
    .version(world.version, '-V, --version', 'print the version')
    .showHelpAfterError('(auth-shim --help lists the commands)')
    .addHelpText('after', '\nExit codes: 0 fine, 1 the answer is no, 2 usage, 78 a configuration that cannot run.')
    .exitOverride();

  withConfig(program.command('serve', { isDefault: true }).description('run the shim (the default)'))
    .option('--pretty', 'log lines for people (default on a terminal)')
    .option('--no-pretty', 'log lines as JSON')
    .action(
      exits(async ({ config, pretty }: WithConfig & { pretty?: boolean }) =>
        (await import('./serve.ts')).runServe(world, { config, pretty }),
      ),
    );

  withConfig(program.command('check').description('say every fault of the configuration, and what deserves a word'))
    .option('--json', 'faults and warnings as JSON on stdout')
    .option('--schema', 'print the JSON Schema of the configuration, for editors')
    .action(
      exits(async (options: WithConfig & { json?: boolean; schema?: boolean }) =>
        (await import('./check.ts')).runCheck(world, options),
      ),
    );

  withConfig(program.command('init').description('write a commented configuration'))
    .option('--from <openclaw.json>', "take port and mode from the gateway's own file")
    .option('--keep-token', 'make a caller out of the present gateway token, for a drop-in on its port')
    .option('--force', 'overwrite a file that is there')
    .action(
      exits(async (options: WithConfig & { from?: string; keepToken?: boolean; force?: boolean }) =>
        (await import('./init.ts')).runInit(world, options),
      ),
    );

  addTokenCommands(program.command('token').description('mint, list, rotate, revoke and hash tokens'));

  addDeviceCommands(
    program.command('device').description('list and forget the device identities of WebSocket callers'),
  );

  withConfig(program.command('explain').description('say what would become of a request, or of a token, and why'))
    .usage('[options] (--as <caller> <method> <path> | --token - [<method> <path>])')
    .option('--as <caller>', 'the caller to be')
    .addOption(
      new Option('--token <->', 'read a token on stdin and say what each check finds; it is not printed').conflicts(
        'as',
      ),
    )
    .option('-H, --header <line>', 'a further request header, "Name: value"', collect, [])
    .option('--websocket', 'ask for a WebSocket', false)
    .option('--json', 'the same as JSON')
    .argument('[method]')
    .argument('[path]')
    .addHelpText('after', EXPLAIN_EXAMPLES)
    .action(
      exits(async (method: string | undefined, path: string | undefined, o: WithConfig & ExplainWords) => {
        const { token, header: headers, ...more } = o;
        if (token === undefined)
          return (await import('./explain.ts')).runExplain(world, { ...more, method, path, headers });
        return (await import('./explain-token.ts')).runExplainToken(world, { ...more, token, method, path, headers });
      }),
    );

  withConfig(program.command('doctor').description('look at the gateway as the shim meets it, and say what to change'))
    .option('--json', 'findings as JSON')
    .option('--chat', 'ask for one chat as well, which begins a run of an agent')
    .addHelpText('after', DOCTOR_WORDS)
    .action(
      exits(async (options: WithConfig & { json?: boolean; chat?: boolean }) =>
        (await import('./doctor.ts')).runDoctor(world, options),
      ),
    );

  program
    .command('demo')
    .description('show the defect of 2026.3.28 and its end, with a stand-in gateway')
    .option('--keep', 'stay up, to point an OpenAI SDK at it', false)
    .action(exits(async (o: { keep: boolean }) => (await import('./demo.ts')).runDemoCommand(world, o)));

  withConfig(program.command('wait').description('until the shim is ready, with a limit'))
    .option('--timeout <duration>', 'how long at most', '60s')
    .option('--live', 'be content with a shim that lives, whatever the gateway does', false)
    .action(
      exits(async (options: WithConfig & { timeout: string; live: boolean }) =>
        (await import('./wait.ts')).runWait(world, options),
      ),
    );

  withConfig(program.command('shutdown').description('end a running shim through its control socket, after its drain'))
    .option('--timeout <duration>', 'how long to wait for the drain at most', '60s')
    .action(
      exits(async (options: WithConfig & { timeout: string }) =>
        (await import('./shutdown.ts')).runShutdown(world, options),
      ),
    );

  const audit = program.command('audit').description('show the audit');
  const AUDIT_FILE = ['--file <path>', 'an audit file, whatever the configuration says'] as const;
  withConfig(audit.command('tail').description('the last records'))
    .option('-n, --lines <count>', 'how many', '20')
    .option('-f, --follow', 'go on, until a signal')
    .option('--json', 'records as JSON')
    .option('--caller <name>', 'of this caller')
    .option('--refused', 'only refusals and errors')
    .option(...AUDIT_FILE)
    .action(exits(async (o: AuditTailOptions) => (await import('./audit.ts')).runAuditTail(world, o)));
  withConfig(audit.command('summary').description('what it comes to, by caller'))
    .option('--since <duration>', 'how far back', '24h')
    .option('--json', 'the same as JSON')
    .option(...AUDIT_FILE)
    .action(exits(async (o: AuditSummaryOptions) => (await import('./audit.ts')).runAuditSummary(world, o)));

  program
    .command('tls')
    .description('make certificates for development')
    .command('init')
    .description('an authority, a server and clients, in a folder; or more of them, where it has an authority')
    .argument('<folder>')
    .option('--host <name>', 'a name or address of the server beside localhost; once for each', collect, [])
    .option('--client <name>', 'a shim that calls; once for each (shim-a, where nothing is named)', collect, [])
    .option('--caller <name>', 'a caller known by its certificate; once for each', collect, [])
    .option('--days <count>', 'how long servers and clients are valid', '90')
    .option('--force', 'write over pairs that are there; an authority stays')
    .option('--json', 'paths, fingerprints and ends as JSON')
    .action(
      exits(async (folder: string, { host: hosts, client: clients, caller: callers, ...o }: TlsInitLine) =>
        (await import('./tls.ts')).runTlsInit(world, { ...o, folder, hosts, clients, callers }),
      ),
    );

  program
    .command('version')
    .description('print the version')
    .action(exits(async () => (await import('./version.ts')).runVersion(world)));

  function addTokenCommands(token: Command): void {
    withConfig(token.command('new').description('mint a token, for a new caller or one that is there'))
      .argument('<caller>')
      .option('--scope <scope>', 'a scope of the new caller; once for each', collect, [])
      .option('--expires <when>', '90d, 12h, 2027-01-31 or a time')
      .action(
        exits(async (name: string, o: WithConfig & { scope: string[]; expires?: string }) =>
          (await import('./token.ts')).runTokenNew(world, { ...o, name, scopes: o.scope }),
        ),
      );
    withConfig(token.command('list').description('list callers and their tokens, by id'))
      .option('--json', 'the same as JSON')
      .action(exits(async (o: WithConfig & { json?: boolean }) => (await import('./token.ts')).runTokenList(world, o)));
    withConfig(token.command('rotate').description('mint a new token; the present one ends after the grace time'))
      .argument('<caller>')
      .option('--grace <duration>', 'how long the present token stays valid; 0 ends it at once', '24h')
      .option('--expires <when>', 'when the new token expires')
      .action(
        exits(async (name: string, o: WithConfig & { grace: string; expires?: string }) =>
          (await import('./token.ts')).runTokenRotate(world, { ...o, name }),
        ),
      );
    withConfig(token.command('revoke').description('remove a token, or all tokens of a caller'))
      .argument('<caller>')
      .argument('[id]', 'the token, as "token list" names it')
      .action(
        exits(async (name: string, id: string | undefined, o: WithConfig) =>
          (await import('./token.ts')).runTokenRevoke(world, { ...o, name, id }),
        ),
      );
    token
      .command('hash')
      .description('read a token on stdin, print its hash for the configuration')
      .action(exits(async () => (await import('./token.ts')).runTokenHash(world)));
  }

  function addDeviceCommands(device: Command): void {
    withConfig(device.command('list').description("list the identities, and the gateway's command for each record"))
      .option('--json', 'the same as JSON')
      .action(
        exits(async (o: WithConfig & { json?: boolean }) => (await import('./device.ts')).runDeviceList(world, o)),
      );
    withConfig(device.command('forget').description('remove the identity of a caller; the next connect makes another'))
      .argument('<caller>')
      .action(
        exits(async (name: string, o: WithConfig) =>
          (await import('./device.ts')).runDeviceForget(world, { ...o, name }),
        ),
      );
  }

  // Commander would take a mistyped command for a word too many of the default one.
  const [first] = args;
  const names = program.commands.map((command) => command.name());
  if (first !== undefined && !first.startsWith('-') && ![...names, 'help'].includes(first)) {
    world.stderr(`unknown command "${first}"${didYouMean(first, names)} (auth-shim --help lists the commands)\n`);
    return EXIT.usage;
  }
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  }
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}
