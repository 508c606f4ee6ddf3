//! What is set on the sockets themselves, below HTTP.

use std::any::Any;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::time::Duration;

use actix_web::rt::net::TcpStream;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio_rustls::server::TlsStream;

/// Connections that the system holds until a worker takes them. The standard library asks for 128, which a class that begins its lesson
/// fills; the system may allow fewer (`net.core.somaxconn`).
const BACKLOG: i32 = 1024;

/// Listens at an address, which is tried in each of the forms that its name has.
pub(crate) fn listen(host: &str, port: u16) -> std::io::Result<TcpListener> {
    let mut refused = std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match listen_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn listen_at(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // As in the standard library: a server that is started again need not wait for its old connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Ends a connection whose client takes nothing of what is sent to it for so long: it went away without a word, or it does not read.
/// While its socket is full no handler is asked for more, so that no deadline of its own could end it (`TCP_USER_TIMEOUT`, RFC 5482;
/// Linux counts a closed window too).
pub(crate) fn limit_stalls(connection: &dyn Any, after: Duration) {
    let plain = connection.downcast_ref::<TcpStream>();
    let stream = plain.or_else(|| connection.downcast_ref::<TlsStream<TcpStream>>().map(|stream| stream.get_ref().0));
    let set = stream.map(|stream| SockRef::from(stream).set_tcp_user_timeout(Some(after)));
    if let Some(Err(error)) = set {
        tracing::debug!(%error, "a connection has no limit for stalls");
    }
}
