# Make the data folder if there is none, and write what the server does at each start: databases, user, password.
set -eu
umask 077
[ -d /var/lib/mysql/data/mysql ] || mariadb-install-db --no-defaults --datadir=/var/lib/mysql/data --skip-test-db \
  --auth-root-authentication-method=socket
escaped() { printf %s "$1" | sed "s/[\\\\']/\\\\&/g"; }
account="'$(escaped "$USERNAME")'@'%'" secret="'$(escaped "$PASSWORD")'"
{
  echo "CREATE USER IF NOT EXISTS 'probe'@'localhost';" # of the probes; it may nothing
  echo "CREATE USER IF NOT EXISTS $account IDENTIFIED BY $secret;"
  echo "ALTER USER $account IDENTIFIED BY $secret;"
  for name in $DATABASES; do
    echo "CREATE DATABASE IF NOT EXISTS \`$name\`;"
    echo "GRANT ALL ON \`$name\`.* TO $account;"
  done
} >/run/mysqld/start.sql
