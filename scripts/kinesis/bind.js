// Loaded before the server, which has no option for it: every listener is bound to 127.0.0.1.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  if (typeof first === 'object' && first !== null && 'port' in first) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  }
  const after = typeof rest[0] === 'string' ? rest.slice(1) : rest;
  return listen.call(this, first, '127.0.0.1', ...after);
};
