/** What a command has of the machine. `main.ts` makes it; tests have their own. */
export interface World {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** What `~` stands for. */
  readonly home: string;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Everything on standard input. */
  readonly stdin: () => Promise<string>;
  /** Data. */
  readonly stdout: (text: string) => void;
  /** Words. */
  readonly stderr: (text: string) => void;
  /** Whether words go to a terminal. */
  readonly isTerminal: boolean;
  /** Whether data may have colours: it goes to a terminal, whose user has not set NO_COLOR. */
  readonly coloured: boolean;
  readonly randomBytes: (size: number) => Uint8Array;
  readonly version: string;
  /** Version of Node, without its `v`. */
  readonly node: string;
  /** Which permission bits new files do not get, from now on. @returns those until now */
  readonly umask: (mask: number) => number;
  /** CPU time and memory of the process. */
  readonly usage: () => { readonly cpu: NodeJS.CpuUsage; readonly memory: NodeJS.MemoryUsage };
  /** Settles at the next SIGINT or SIGTERM, with its name. */
  readonly nextSignal: () => Promise<string>;
  /** Calls back at each SIGHUP, which ends the process no more. */
  readonly onHangup: (listener: () => void) => void;
  /** Ends the process in a moment, whatever it still waits for. */
  readonly leave: () => void;
  /** Calls back with what was thrown, or rejected, and caught nowhere, which ends the process no more. */
  readonly onFault: (listener: (error: unknown) => void) => void;
}
