"""The words of vsftpd.conf(5): defaults, commands, and settings that have nothing in their place."""

from __future__ import annotations

from typing import Final

from ftpsd.values.permission import Permission

DEFAULTS: Final = {
    "accept_timeout": "60", "chmod_enable": "YES", "connect_from_port_20": "NO", "data_connection_timeout": "300",
    "dirlist_enable": "YES", "download_enable": "YES", "force_local_data_ssl": "YES", "force_local_logins_ssl": "YES",
    "idle_session_timeout": "300", "listen_port": "21", "local_max_rate": "0", "local_umask": "077",
    "max_clients": "2000", "max_login_fails": "3", "max_per_ip": "50", "mdtm_write": "YES", "pasv_enable": "YES",
    "pasv_max_port": "0", "pasv_min_port": "0", "port_enable": "YES", "require_ssl_reuse": "YES",
    "rsa_cert_file": "/usr/share/ssl/certs/vsftpd.pem", "userlist_deny": "YES",
    "userlist_file": "/etc/vsftpd.user_list",
}  # fmt: skip

COMMANDS: Final = {
    "LIST": {Permission.LIST},
    "NLST": {Permission.LIST},
    "MLSD": {Permission.LIST},
    "RETR": {Permission.READ},
    "STOR": {Permission.UPLOAD, Permission.OVERWRITE},
    "STOU": {Permission.UPLOAD},
    "APPE": {Permission.APPEND},
    "RNFR": {Permission.RENAME},
    "RNTO": {Permission.RENAME},
    "DELE": {Permission.DELETE},
    "MKD": {Permission.MKDIR},
    "XMKD": {Permission.MKDIR},
    "RMD": {Permission.RMDIR},
    "XRMD": {Permission.RMDIR},
    "MDTM": {Permission.SET_TIME},
    "SITE": {Permission.CHMOD},
}

# Said by users and rules, or done by ftpsd without being told.
OF_OURSELVES: Final = frozenset(
    {
        "allow_writeable_chroot", "ascii_download_enable", "ascii_upload_enable", "async_abor_enable", "background",
        "check_shell", "chmod_enable", "chroot_local_user", "cmds_allowed", "cmds_denied", "connect_timeout",
        "debug_ssl", "dirlist_enable", "download_enable", "guest_enable", "guest_username", "isolate",
        "isolate_network", "local_enable", "local_root", "lock_upload_files", "log_ftp_protocol", "ls_recurse_enable",
        "mdtm_write", "nopriv_user", "one_process_model", "pam_service_name", "passwd_chroot_enable",
        "reverse_lookup_enable", "secure_chroot_dir", "seccomp_sandbox", "session_support", "setproctitle_enable",
        "ssl_request_cert", "strict_ssl_read_eof", "syslog_enable", "tilde_user_enable", "use_sendfile",
        "user_config_dir", "user_sub_token", "userlist_deny", "userlist_enable", "userlist_file",
        "virtual_use_local_privs",
        "write_enable", "xferlog_enable", "delay_failed_login", "delay_successful_login", "file_open_mode",
        "trans_chunk_size", "ssl_tlsv1_2", "ssl_tlsv1_3", "pasv_addr_resolve", "convert_charset_enable",
        "utf8_filesystem",
    }
)  # fmt: skip

# Whether it only counts when it is on; why it is left; the section where one would look for it.
LEFT: Final = {
    "tcp_wrappers": (True, "hosts.allow and hosts.deny ARE NOT ASKED: write networks into users.yaml", ""),
    "chroot_list_enable": (True, "everybody is kept in the home here", ""),
    "chroot_list_file": (False, "everybody is kept in the home here", ""),
    "deny_file": (False, "PATTERNS ARE NOT CARRIED OVER: write rules of paths, or `accept` with names", "accept"),
    "hide_file": (False, "PATTERNS ARE NOT CARRIED OVER: rules without list and read hide paths", ""),
    "delete_failed_uploads": (True, "an upload is no file before it is complete; see keep_partial", "uploads"),
    "dirmessage_enable": (True, "there are no messages of directories", ""),
    "force_dot_files": (True, "hidden files are in every listing", ""),
    "use_localtime": (True, "times are in UTC, as MLSD and MDTM have them", ""),
    "text_userdb_names": (True, "owners are not shown", ""),
    "hide_ids": (False, "owners are not shown", ""),
    "ssl_ciphers": (False, "ciphers have AEAD and forward secrecy, and are not configured", "tls"),
    "banner_file": (False, "write the text into `banner`", "banner"),
    "validate_cert": (True, "set authorities of clients in tls.client_certificates", "tls"),
    "xferlog_file": (False, "name a file in audit.xferlog, in a folder of the daemon's user", "audit"),
    "xferlog_std_format": (True, "audit.xferlog has this form", "audit"),
    "vsftpd_log_file": (False, "the audit log is on standard output; see audit.log", "audit"),
    "dual_log_enable": (True, "see audit.log and audit.xferlog", "audit"),
    "email_password_file": (False, "is about anonymous users", ""),
    "deny_email_enable": (True, "is about anonymous users", ""),
    "secure_email_list_enable": (True, "is about anonymous users", ""),
    "run_as_launching_user": (True, "the unit says which user the daemon has", ""),
}
