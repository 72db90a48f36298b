declare module 'undici/lib/dispatcher/client.js' {
  import type { Client } from 'undici';
  const constructor: typeof Client;
  export default constructor;
}

declare module 'undici/lib/api/api-request.js' {
  import type { Dispatcher } from 'undici';
  export default function request(
    this: Dispatcher,
    options: Dispatcher.RequestOptions,
  ): Promise<Dispatcher.ResponseData>;
}
