/** For `node --import`: on SIGUSR2 and on a later turn of the loop, something throws that nobody catches. */
process.on('SIGUSR2', () => {
  setImmediate(() => {
    throw new Error('a planted fault');
  });
});
