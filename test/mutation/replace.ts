/**
 * Loaded before a test: puts what `AUTH_SHIM_TEST_GUARD` says in the place of one exported function, as its module is
 * loaded. The source is not changed, and has no switch for it.
 */
import { registerHooks } from 'node:module';
import { pathToFileURL } from 'node:url';

const { file, name, off } = JSON.parse(process.env.AUTH_SHIM_TEST_GUARD ?? '{}') as Record<string, string>;
const url = pathToFileURL(file ?? '').href;

registerHooks({
  load(address, context, next) {
    const loaded = next(address, context);
    if (address !== url || loaded.source == null) return loaded;
    // A function that is declared can be assigned anew within its module, for all who import it.
    const source = `${Buffer.from(loaded.source as Uint8Array).toString()}\n${name} = (${off})(${name});\n`;
    return { ...loaded, source };
  },
});
