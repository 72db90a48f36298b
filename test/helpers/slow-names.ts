/** For `node --import`: names are looked up only once the file `NAMES_FILE` is there; each lookup that waits is told. */
import { existsSync, watch } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { dirname } from 'node:path';

const names = createRequire(import.meta.url)('node:dns/promises') as typeof import('node:dns/promises');
const file = process.env.NAMES_FILE as string;
const lookup = names.lookup;

async function late(name: string, options: object): Promise<unknown> {
  if (!existsSync(file)) {
    process.stderr.write(`${JSON.stringify({ msg: 'a lookup waits', name })}\n`);
    await new Promise<void>((resolve) => {
      const watcher = watch(dirname(file), () => {
        if (!existsSync(file)) return;
        watcher.close();
        resolve();
      });
    });
  }
  return lookup(name, options);
}

Object.assign(names, { lookup: late });
syncBuiltinESMExports();
